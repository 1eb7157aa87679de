/**
 * What a client asks a worker before it sends a package: whether files that the package names are there, and how much
 * room there is. Only peers of this program speak it; see "Preflight" in docs/protocol.md.
 */
import { z } from "zod";

/** Name of the feature in offer and answer. */
export const PREFLIGHT = "preflight";

/** Files in one request, and characters of a path, at most. */
export const MAX_FILES = 64;
/** See {@link MAX_FILES}. */
export const MAX_PATH = 4_096;

/** `PREFLIGHT`, from the client: absolute paths, as a job would open them. */
export const requestSchema = z.object({ files: z.array(z.string().max(MAX_PATH)).max(MAX_FILES) });
/** See {@link requestSchema}. */
export type PreflightRequest = z.infer<typeof requestSchema>;

/** `PREFLIGHT_REPORT`, from the worker. */
export const reportSchema = z.object({
  /** In the order of the request: whether it is there; null for what lies on no storage backend of the worker. */
  files: z.array(z.boolean().nullable()).max(MAX_FILES),
  /** Bytes that are free where packages are unpacked; null when that is not known. */
  free: z.number().min(0).nullable(),
});
/** See {@link reportSchema}. */
export type PreflightReport = z.infer<typeof reportSchema>;

/** Requests for all of these files, each small enough for a message; one at least, which asks for the room. */
export function requestsFor(files: readonly string[], maxBytes: number): PreflightRequest[] {
  const requests: PreflightRequest[] = [{ files: [] }];
  let room = maxBytes;
  for (const path of files) {
    const bytes = new TextEncoder().encode(JSON.stringify(path)).length + 1;
    if (bytes > room || requests.at(-1)!.files.length === MAX_FILES) {
      requests.push({ files: [] });
      room = maxBytes;
    }
    requests.at(-1)!.files.push(path);
    room -= bytes;
  }
  return requests;
}
