/**
 * What is used of the Redis package; imported late, where a store is in Redis. The package is CommonJS: imported late
 * by itself it has no names in a bundle.
 */
export { createClient } from "@redis/client";
