/** What a client is told of an error. */
import { getLogger } from "@logtape/logtape";
import { UserError } from "../config/user_error.ts";
import type { Message } from "../protocol/message.ts";
import { DISK_FULL_TEXT, NO_SPACE_TEXT } from "../protocol/refusal.ts";
import { PathValidationError } from "../storage/containment.ts";
import { InsufficientSpaceError, isDiskFull } from "../storage/copy.ts";
import { DamagedOnStorageError } from "./storage_places.ts";

const logger = getLogger(["sleap-rtc", "worker", "job"]);

/** What is told before the end: a path that was refused may be tried another way. */
export function refusals(error: unknown): Message[] {
  if (!(error instanceof PathValidationError)) return [];
  logger.error("{refusal}: {detail}", { refusal: error.refusal, detail: error.detail, code: error.code });
  return [{ type: "PATH_ERROR", text: error.message }];
}

/** The end of a job that an error kept from its own. */
export function failureMessage(error: unknown, id: string): Message {
  // PROTOCOL.md section 17, item 3: this one goes without an id.
  if (isDiskFull(error)) return { type: "JOB_FAILED", text: DISK_FULL_TEXT };
  return { type: "JOB_FAILED", id, text: tellable(error) };
}

/** What a client may read of an error: our own words; those of the system hold paths of this machine. */
function tellable(error: unknown): string {
  if (error instanceof InsufficientSpaceError) return NO_SPACE_TEXT;
  if (error instanceof DamagedOnStorageError) return `${error.message}; ${DamagedOnStorageError.request}`;
  return error instanceof UserError ? error.message : "the worker failed; its log says how";
}
