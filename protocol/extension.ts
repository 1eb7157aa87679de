import manifest from "../deno.json" with { type: "json" };
import { LINK } from "./link.ts";
import { SAME_STORAGE } from "./storage_proof.ts";
import type { Extension } from "./signaling.ts";

/** Version of this program. */
export const VERSION: string = manifest.version;

/** What this program's peers tell each other in offer and answer; see `extensionSchema`. */
export const EXTENSION: Extension = { version: VERSION, features: [SAME_STORAGE, LINK] };
