/**
 * What is used of the YAML package; imported late, by the commands that need it. The package is CommonJS: imported
 * late by itself it has no names in a bundle.
 */
export { isMap, LineCounter, parseDocument } from "yaml";
