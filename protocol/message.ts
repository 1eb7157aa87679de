/**
 * Text messages of the data channel: `TYPE` or `TYPE::arg1::arg2…`, matched at the start only.
 * Source: PROTOCOL.md sections 10 and 17.
 */

/** The ten bytes of a keep-alive; a binary message equal to them is never file data. */
export const KEEP_ALIVE: Uint8Array<ArrayBuffer> = new TextEncoder().encode("KEEP_ALIVE");

/** No message may be larger, in bytes: the limit of the Python peers (PROTOCOL.md section 9.5). */
export const MAX_MESSAGE_BYTES = 65_536;

/** Longest text that is sent, in bytes: a link needs room for its header. */
export const MAX_TEXT_BYTES = MAX_MESSAGE_BYTES - 8;

/** Longest piece of a job's output: it travels in a message, or in a job's event, which needs room for its number. */
export const MAX_LOG_BYTES = MAX_TEXT_BYTES - 32;

/** Messages about files that travel over a link, in the order in which they come (docs/protocol.md). */
const FILES_MESSAGES = [
  "FILES_OFFER",
  "FILES_LIST",
  "FILES_READY",
  "FILES_BEGIN",
  "FILE_END",
  "FILES_DONE",
  "FILES_CANCEL",
] as const;
/** See {@link FILES_MESSAGES}. */
export type FilesMessageType = typeof FILES_MESSAGES[number];

/** Whether a package is for training or for inference. */
export type PackageType = "train" | "track";

/** What a peer can say in text. `LOG` stands for everything that is no message: raw output of a job. */
export type Message =
  /** Ours: before anything else, where there is a room secret; random, 64 hex digits. */
  | { type: "PEER_CHALLENGE"; nonce: string }
  /** Ours: 64 hex digits that only who knows the room secret can tell. */
  | { type: "PEER_PROOF"; proof: string }
  | { type: "STORAGE_BACKEND"; name: string }
  | { type: "USER_SUBDIR"; subdir: string }
  | { type: "JOB_ID"; id: string }
  /** `hint` is `True`/`False` (the gui flag) from a client, a folder name from a worker. */
  | { type: "FILE_META"; name: string; size: number; hint: string }
  | { type: "SHARED_INPUT_PATH"; path: string }
  | { type: "SHARED_OUTPUT_PATH"; path: string }
  | { type: "SHARED_STORAGE_JOB"; command: string }
  | { type: "PACKAGE_TYPE"; kind: PackageType }
  | { type: "OUTPUT_DIR"; dir: string }
  | { type: "END_OF_FILE" }
  | { type: "ZMQ_CTRL"; text: string }
  /** Ours: JSON of a `Challenge`, about the input path just validated. */
  | { type: "STORAGE_PROOF"; json: string }
  /** Ours: the file is the same; `nonce` is what the nonce file holds, empty without one. */
  | { type: "STORAGE_PROVEN"; nonce: string }
  /** Ours: the file is another; the text says in what. */
  | { type: "STORAGE_DIFFERS"; text: string }
  /** Ours: JSON of what `protocol/files.ts` has schemas for. */
  | { type: FilesMessageType; json: string }
  /** Ours: JSON of what `protocol/jobs.ts` has schemas for. */
  | { type: "JOB_ATTACH" | "JOB_STATE" | "JOB_RESULTS" | "JOBS"; json: string }
  | { type: "JOBS_LIST" }
  | { type: "JOB_STOP" | "JOB_CANCEL" | "JOB_UNKNOWN"; id: string }
  /** Ours: what was said of a job, by number; the text is a message of its own. */
  | { type: "JOB_EVENT"; seq: number; text: string }
  /** Ours: JSON of what `protocol/preflight.ts` has schemas for. */
  | { type: "PREFLIGHT" | "PREFLIGHT_REPORT"; json: string }
  | { type: "PATH_VALIDATED"; what: string }
  | { type: "BACKEND_NOT_AVAILABLE"; name: string }
  | { type: "PATH_ERROR"; text: string }
  | { type: "TRAIN_JOB_START"; name: string }
  | { type: "TRAIN_JOB_END"; name: string }
  | { type: "TRAIN_JOB_ERROR"; name: string; code: number }
  | { type: "TRAINING_JOBS_DONE" }
  | { type: "PROGRESS_REPORT"; text: string }
  /** `path` is relative; `totalMb` in 10^6 bytes. */
  | { type: "JOB_COMPLETE"; id: string; path: string; fileCount?: number; totalMb?: number }
  | { type: "JOB_FAILED"; id?: string; text: string }
  | { type: "INFERENCE_START" }
  | { type: "INFERENCE_JOB_START"; name: string }
  | { type: "TRACK_LOG"; line: string }
  | { type: "INFERENCE_JOB_END"; name: string }
  | { type: "INFERENCE_JOB_ERROR"; name: string; code: number }
  | { type: "INFERENCE_JOBS_DONE" }
  | { type: "INFERENCE_ERROR"; text: string }
  | { type: "LOG"; text: string };

/** A text that begins like a message but breaks its rules. */
export interface Malformed {
  type: "MALFORMED";
  keyword: string;
  /** What was found and what was expected. */
  reason: string;
}

type Parser = (rest: string) => Message | string;

const isHex32 = (text: string): boolean => /^[0-9a-f]{64}$/.test(text);
const HEX_32 = "expected 64 hex digits";

const count = (text: string): number | undefined => /^\d{1,15}$/.test(text) ? Number(text) : undefined;

function parseFileMeta(rest: string): Message | string {
  const found = /^(.+):(\d+):([^:]*)$/s.exec(rest);
  const size = found ? count(found[2]!) : undefined;
  if (!found || size === undefined) return "expected {name}:{size in bytes}:{hint}";
  return { type: "FILE_META", name: found[1]!, size, hint: found[3]! };
}

function parsePackageType(rest: string): Message | string {
  if (rest !== "train" && rest !== "track") return 'expected "train" or "track"';
  return { type: "PACKAGE_TYPE", kind: rest };
}

function parseExit(type: "TRAIN_JOB_ERROR" | "INFERENCE_JOB_ERROR"): Parser {
  return (rest) => {
    const found = /^(.*)::(-?\d{1,9})$/s.exec(rest);
    return found ? { type, name: found[1]!, code: Number(found[2]) } : "expected {name}::{exit code}";
  };
}

function parseJobComplete(rest: string): Message | string {
  const [id, path, files, megabytes] = rest.split("::");
  if (!id || path === undefined) return "expected {job id}::{relative path}";
  const fileCount = files === undefined ? undefined : count(files);
  const totalMb = megabytes !== undefined && /^\d/.test(megabytes) ? Number(megabytes) : undefined;
  return {
    type: "JOB_COMPLETE",
    id,
    path,
    ...(fileCount === undefined ? {} : { fileCount }),
    ...(totalMb === undefined || !Number.isFinite(totalMb) ? {} : { totalMb }),
  };
}

/** One argument is a text, two or more are id and text (PROTOCOL.md section 17, item 3). */
function parseJobFailed(rest: string): Message | string {
  const cut = rest.indexOf("::");
  if (cut < 0) return { type: "JOB_FAILED", text: rest };
  return { type: "JOB_FAILED", id: rest.slice(0, cut), text: rest.slice(cut + 2) };
}

function parseJobEvent(rest: string): Message | string {
  const cut = rest.indexOf("::");
  const seq = count(rest.slice(0, Math.max(0, cut)));
  if (cut < 0 || seq === undefined) return "expected {number}::{text}";
  return { type: "JOB_EVENT", seq, text: rest.slice(cut + 2) };
}

/** Messages with arguments, by keyword. */
const PARSERS: ReadonlyMap<string, Parser> = new Map<string, Parser>([
  ["PEER_CHALLENGE", (nonce) => isHex32(nonce) ? { type: "PEER_CHALLENGE", nonce } : HEX_32],
  ["PEER_PROOF", (proof) => isHex32(proof) ? { type: "PEER_PROOF", proof } : HEX_32],
  ["STORAGE_BACKEND", (name) => ({ type: "STORAGE_BACKEND", name })],
  ["USER_SUBDIR", (subdir) => ({ type: "USER_SUBDIR", subdir })],
  ["JOB_ID", (id) => ({ type: "JOB_ID", id })],
  ["FILE_META", parseFileMeta],
  ["SHARED_INPUT_PATH", (path) => ({ type: "SHARED_INPUT_PATH", path })],
  ["SHARED_OUTPUT_PATH", (path) => ({ type: "SHARED_OUTPUT_PATH", path })],
  ["SHARED_STORAGE_JOB", (command) => ({ type: "SHARED_STORAGE_JOB", command })],
  ["PACKAGE_TYPE", parsePackageType],
  ["OUTPUT_DIR", (dir) => ({ type: "OUTPUT_DIR", dir })],
  ["ZMQ_CTRL", (text) => ({ type: "ZMQ_CTRL", text })],
  ["STORAGE_PROOF", (json) => ({ type: "STORAGE_PROOF", json })],
  ["STORAGE_PROVEN", (nonce) => ({ type: "STORAGE_PROVEN", nonce })],
  ["STORAGE_DIFFERS", (text) => ({ type: "STORAGE_DIFFERS", text })],
  ...FILES_MESSAGES.map((type): [string, Parser] => [type, (json) => ({ type, json })]),
  ["JOB_ATTACH", (json) => ({ type: "JOB_ATTACH", json })],
  ["JOB_STATE", (json) => ({ type: "JOB_STATE", json })],
  ["JOB_RESULTS", (json) => ({ type: "JOB_RESULTS", json })],
  ["JOBS", (json) => ({ type: "JOBS", json })],
  ["JOB_STOP", (id) => ({ type: "JOB_STOP", id })],
  ["JOB_CANCEL", (id) => ({ type: "JOB_CANCEL", id })],
  ["JOB_UNKNOWN", (id) => ({ type: "JOB_UNKNOWN", id })],
  ["JOB_EVENT", parseJobEvent],
  ["PREFLIGHT", (json) => ({ type: "PREFLIGHT", json })],
  ["PREFLIGHT_REPORT", (json) => ({ type: "PREFLIGHT_REPORT", json })],
  ["PATH_VALIDATED", (what) => ({ type: "PATH_VALIDATED", what })],
  ["BACKEND_NOT_AVAILABLE", (name) => ({ type: "BACKEND_NOT_AVAILABLE", name })],
  ["PATH_ERROR", (text) => ({ type: "PATH_ERROR", text })],
  ["TRAIN_JOB_START", (name) => ({ type: "TRAIN_JOB_START", name })],
  ["TRAIN_JOB_END", (name) => ({ type: "TRAIN_JOB_END", name })],
  ["TRAIN_JOB_ERROR", parseExit("TRAIN_JOB_ERROR")],
  ["PROGRESS_REPORT", (text) => ({ type: "PROGRESS_REPORT", text })],
  ["JOB_COMPLETE", parseJobComplete],
  ["JOB_FAILED", parseJobFailed],
  ["INFERENCE_JOB_START", (name) => ({ type: "INFERENCE_JOB_START", name })],
  ["INFERENCE_JOB_END", (name) => ({ type: "INFERENCE_JOB_END", name })],
  ["INFERENCE_JOB_ERROR", parseExit("INFERENCE_JOB_ERROR")],
  ["INFERENCE_ERROR", (text) => ({ type: "INFERENCE_ERROR", text })],
]);

/** Whether a message is about files on a link. */
export function isAboutFiles(
  message: { type: string },
): message is Extract<Message, { type: FilesMessageType }> {
  return FILES_MESSAGES.some((type) => type === message.type);
}

/** Messages that are one word, matched whole. */
const WORDS = [
  "END_OF_FILE",
  "TRAINING_JOBS_DONE",
  "INFERENCE_START",
  "INFERENCE_JOBS_DONE",
  "JOBS_LIST",
] as const;

/** The message in a text. Never throws: a text that is no message is `LOG`, a broken one `MALFORMED`. */
export function parseMessage(text: string): Message | Malformed {
  const word = WORDS.find((each) => each === text);
  if (word) return { type: word };
  if (text.startsWith("TRACK_LOG:")) return { type: "TRACK_LOG", line: text.slice("TRACK_LOG:".length) };
  const cut = text.indexOf("::");
  const parse = cut < 0 ? undefined : PARSERS.get(text.slice(0, cut));
  if (!parse) return { type: "LOG", text };
  const keyword = text.slice(0, cut);
  const rest = text.slice(cut + 2);
  const message = parse(rest);
  if (typeof message !== "string") return message;
  return { type: "MALFORMED", keyword, reason: `${message}, found ${JSON.stringify(rest.slice(0, 120))}` };
}

/** A message as the text that travels; `parseMessage` gives it back. */
export function formatMessage(message: Message): string {
  switch (message.type) {
    case "LOG":
      return message.text;
    case "TRACK_LOG":
      return `TRACK_LOG:${message.line}`;
    case "FILE_META":
      return `FILE_META::${message.name}:${message.size}:${message.hint}`;
    default:
      return [message.type, ...argumentsOf(message)].join("::");
  }
}

/** The arguments behind a message's keyword, in their order. */
function argumentsOf(
  message: Exclude<Message, { type: "LOG" | "TRACK_LOG" | "FILE_META" }>,
): (string | number)[] {
  switch (message.type) {
    case "PEER_CHALLENGE":
      return [message.nonce];
    case "PEER_PROOF":
      return [message.proof];
    case "STORAGE_BACKEND":
    case "BACKEND_NOT_AVAILABLE":
    case "TRAIN_JOB_START":
    case "TRAIN_JOB_END":
    case "INFERENCE_JOB_START":
    case "INFERENCE_JOB_END":
      return [message.name];
    case "USER_SUBDIR":
      return [message.subdir];
    case "JOB_ID":
    case "JOB_STOP":
    case "JOB_CANCEL":
    case "JOB_UNKNOWN":
      return [message.id];
    case "JOB_EVENT":
      return [message.seq, message.text];
    case "SHARED_INPUT_PATH":
    case "SHARED_OUTPUT_PATH":
      return [message.path];
    case "SHARED_STORAGE_JOB":
      return [message.command];
    case "PACKAGE_TYPE":
      return [message.kind];
    case "OUTPUT_DIR":
      return [message.dir];
    case "PATH_VALIDATED":
      return [message.what];
    case "STORAGE_PROOF":
    case "JOB_ATTACH":
    case "JOB_STATE":
    case "JOB_RESULTS":
    case "JOBS":
    case "PREFLIGHT":
    case "PREFLIGHT_REPORT":
    case "FILES_OFFER":
    case "FILES_LIST":
    case "FILES_READY":
    case "FILES_BEGIN":
    case "FILE_END":
    case "FILES_DONE":
    case "FILES_CANCEL":
      return [message.json];
    case "STORAGE_PROVEN":
      return [message.nonce];
    case "ZMQ_CTRL":
    case "STORAGE_DIFFERS":
    case "PATH_ERROR":
    case "PROGRESS_REPORT":
    case "INFERENCE_ERROR":
      return [message.text];
    case "TRAIN_JOB_ERROR":
    case "INFERENCE_JOB_ERROR":
      return [message.name, message.code];
    case "JOB_COMPLETE":
      return [message.id, message.path, message.fileCount, message.totalMb].filter((each) =>
        each !== undefined
      );
    case "JOB_FAILED":
      return message.id === undefined ? [message.text] : [message.id, message.text];
    case "END_OF_FILE":
    case "TRAINING_JOBS_DONE":
    case "INFERENCE_START":
    case "INFERENCE_JOBS_DONE":
    case "JOBS_LIST":
      return [];
  }
}

/**
 * Output of a job, made safe to send as raw text: cut into pieces of at most {@link MAX_LOG_BYTES} bytes,
 * and a piece that would be read as a message gets a blank in front.
 */
export function logTexts(text: string): string[] {
  const isPlain = (piece: string): boolean => parseMessage(piece).type === "LOG" && piece !== "KEEP_ALIVE";
  const pieces = cutText(text, MAX_LOG_BYTES);
  if (pieces.every(isPlain)) return pieces;
  // One byte is left for the blank.
  return cutText(text, MAX_LOG_BYTES - 1).map((piece) => isPlain(piece) ? piece : ` ${piece}`);
}

/** Output of an inference job as messages, trailing blanks taken off (PROTOCOL.md section 12.4). */
export function trackLogTexts(text: string): string[] {
  const room = MAX_LOG_BYTES - "TRACK_LOG:".length;
  return cutText(text.trimEnd(), room).map((line) => formatMessage({ type: "TRACK_LOG", line }));
}

/** Cuts a text into pieces of at most so many UTF-8 bytes, never within a character; at least one piece. */
export function cutText(text: string, maxBytes: number): string[] {
  const bytes = new TextEncoder().encode(text);
  if (bytes.length <= maxBytes) return [text];
  const pieces: string[] = [];
  for (let start = 0; start < bytes.length;) {
    let end = Math.min(start + maxBytes, bytes.length);
    // Continuation bytes are 10xxxxxx.
    while (end < bytes.length && (bytes[end]! & 0xc0) === 0x80) end--;
    pieces.push(new TextDecoder("utf-8", { ignoreBOM: true }).decode(bytes.subarray(start, end)));
    start = end;
  }
  return pieces;
}
