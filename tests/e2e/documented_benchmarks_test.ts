/** The benchmarks that the documentation speaks of, as small as they can be. */
import { testPages } from "./documented/pages.ts";

await testPages((page) => page === "docs/performance.md");
