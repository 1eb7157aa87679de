import manifest from "../deno.json" with { type: "json" };
import { JOBS } from "./jobs.ts";
import { LINK } from "./link.ts";
import { PREFLIGHT } from "./preflight.ts";
import { SAME_STORAGE } from "./storage_proof.ts";
import type { Extension } from "./signaling.ts";

/** Version of this program. */
export const VERSION: string = manifest.version;

/** Name of the feature in offer and answer: the sender has a room secret, and asks for its proof. */
export const ROOM_PROOF = "room-proof";

/** What this program's peers tell each other in offer and answer; see `extensionSchema`. */
export const EXTENSION: Extension = { version: VERSION, features: [SAME_STORAGE, LINK, JOBS, PREFLIGHT] };

/** {@link EXTENSION} of a peer that has a room secret, or none; of the secret itself it tells nothing. */
export function extensionWith(roomSecret: string | undefined): Extension {
  return roomSecret === undefined
    ? EXTENSION
    : { ...EXTENSION, features: [...EXTENSION.features, ROOM_PROOF] };
}
