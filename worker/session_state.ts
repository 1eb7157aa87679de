import type { Message } from "../protocol/message.ts";

/**
 * Where a client's conversation stands: `ready` to begin a job; `following` one that runs; `visiting`, when the client
 * said that it comes to look at jobs and begins none.
 */
export type SessionState = "ready" | "following" | "visiting";

/** What becomes of a message: it is taken; refused, and the client told; or passed over, with a line in the log. */
export type Verdict = "take" | "refuse" | "ignore";

/** File bytes are no message, and have a rule all the same. */
export type Received = Message["type"] | "BYTES";

const always: Record<SessionState, Verdict> = { ready: "take", following: "take", visiting: "take" };
/** A job is begun, or its bytes come: one at a time, and not by a visitor. */
const begins: Record<SessionState, Verdict> = { ready: "take", following: "refuse", visiting: "refuse" };
const never: Record<SessionState, Verdict> = { ready: "ignore", following: "ignore", visiting: "ignore" };

/** The rules by message; every other one is the worker's own, or unknown, and passed over. See docs/sessions.md. */
export const RULES: Readonly<Partial<Record<Received, Record<SessionState, Verdict>>>> = {
  // What the next job will be made of may be said while one runs.
  STORAGE_BACKEND: always,
  USER_SUBDIR: always,
  JOB_ID: always,
  FILE_META: always,
  SHARED_INPUT_PATH: always,
  STORAGE_PROOF: always,
  SHARED_OUTPUT_PATH: always,
  PACKAGE_TYPE: always,
  SHARED_STORAGE_JOB: begins,
  BYTES: begins,
  END_OF_FILE: begins,
  FILES_OFFER: begins,
  // About a package that was taken before, or results on their way: who it is for knows it by its number.
  FILES_LIST: always,
  FILES_BEGIN: always,
  FILE_END: always,
  FILES_READY: always,
  FILES_DONE: always,
  FILES_CANCEL: always,
  JOBS_LIST: always,
  PREFLIGHT: always,
  JOB_ATTACH: { ready: "take", following: "refuse", visiting: "take" },
  JOB_STOP: always,
  JOB_CANCEL: always,
  ZMQ_CTRL: always,
  // Runs always write to `models`, whatever is asked for (PROTOCOL.md section 11.3).
  OUTPUT_DIR: never,
};

/** What becomes of a message in a state. */
export function verdict(type: Received, state: SessionState): Verdict {
  return RULES[type]?.[state] ?? "ignore";
}

/** Why something is refused, in words for the client. */
export function refusalText(state: SessionState): string {
  return state === "visiting"
    ? "this connection is for looking at jobs: it begins none"
    : "a job is running: another begins when it has ended";
}
