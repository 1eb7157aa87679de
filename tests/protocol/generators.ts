/** Generators of what travels, for property tests. */
import fc, { type Arbitrary } from "fast-check";
import type { Message } from "../../protocol/message.ts";

/** Any well-formed text: what UTF-8 can carry. */
export const text: Arbitrary<string> = fc.string({ unit: "binary" }).filter((each) => each.isWellFormed());

const count = fc.integer({ min: 0, max: 999_999_999_999_999 });
const code = fc.integer({ min: -999_999, max: 999_999_999 }).map((each) => each === 0 ? 0 : each);
/** What may stand before a separator. */
const plain = text.filter((each) => each !== "" && !each.includes(":"));
const megabytes = fc.double({ min: 0, max: 1e9, noNaN: true }).map((each) => each === 0 ? 0 : each);
const hex32 = fc.uint8Array({ minLength: 32, maxLength: 32 }).map((each) => each.toHex());
/** A text that is no message, whatever it looks like. */
const output = text.filter((each) =>
  !each.includes(":") && !/^(END_OF|TRAINING_|INFERENCE_|JOBS_)/.test(each)
);

function of<Type extends string, Fields extends object>(
  type: Type,
  fields: { [Key in keyof Fields]: Arbitrary<Fields[Key]> },
): Arbitrary<{ type: Type } & Fields> {
  return fc.record<Fields>(fields).map((each) => ({ type, ...each }));
}

/** Any message that a peer may send; the limits of the grammar, which has no escaping, are kept. */
export const message: Arbitrary<Message> = fc.oneof(
  of("PEER_CHALLENGE", { nonce: hex32 }),
  of("PEER_PROOF", { proof: hex32 }),
  of("STORAGE_BACKEND", { name: text }),
  of("USER_SUBDIR", { subdir: text }),
  of("JOB_ID", { id: text }),
  of("FILE_META", { name: text.filter((each) => each !== ""), size: count, hint: plain }),
  of("SHARED_INPUT_PATH", { path: text }),
  of("SHARED_OUTPUT_PATH", { path: text }),
  of("SHARED_STORAGE_JOB", { command: text }),
  of("PACKAGE_TYPE", { kind: fc.constantFrom<"train" | "track">("train", "track") }),
  of("OUTPUT_DIR", { dir: text }),
  of("END_OF_FILE", {}),
  of("ZMQ_CTRL", { text }),
  of("JOB_ATTACH", { json: text }),
  of("JOB_STATE", { json: text }),
  of("JOBS", { json: text }),
  of("JOBS_LIST", {}),
  of("PREFLIGHT", { json: text }),
  of("PREFLIGHT_REPORT", { json: text }),
  of("JOB_STOP", { id: text }),
  of("JOB_CANCEL", { id: text }),
  of("JOB_UNKNOWN", { id: text }),
  of("JOB_EVENT", { seq: count, text }),
  of("PATH_VALIDATED", { what: text }),
  of("BACKEND_NOT_AVAILABLE", { name: text }),
  of("PATH_ERROR", { text }),
  of("TRAIN_JOB_START", { name: text }),
  of("TRAIN_JOB_END", { name: text }),
  of("TRAIN_JOB_ERROR", { name: text, code }),
  of("TRAINING_JOBS_DONE", {}),
  of("PROGRESS_REPORT", { text }),
  of("JOB_COMPLETE", { id: plain, path: plain }),
  of("JOB_COMPLETE", { id: plain, path: plain, fileCount: count, totalMb: megabytes }),
  of("JOB_FAILED", { text: output }),
  of("JOB_FAILED", { id: plain, text }),
  of("INFERENCE_START", {}),
  of("INFERENCE_JOB_START", { name: text }),
  of("TRACK_LOG", { line: text }),
  of("INFERENCE_JOB_END", { name: text }),
  of("INFERENCE_JOB_ERROR", { name: text, code }),
  of("INFERENCE_JOBS_DONE", {}),
  of("INFERENCE_ERROR", { text }),
  of("LOG", { text: output }),
);
