import assert from "node:assert/strict";
import fc from "fast-check";
import { formatMessage, type Malformed, type Message, parseMessage } from "../../protocol/message.ts";
import { message } from "./generators.ts";

const reason = (found: Message | Malformed): string => found.type === "MALFORMED" ? found.reason : found.type;

Deno.test("what is formatted parses back to the same message", () => {
  fc.assert(fc.property(message, (each) => assert.deepEqual(parseMessage(formatMessage(each)), each)), {
    numRuns: 2_000,
  });
});

Deno.test("the order in which a message's keys were written does not show", () => {
  fc.assert(
    fc.property(message, (each) => {
      const turned: unknown = Object.fromEntries(Object.entries(each).toReversed());
      assert.equal(formatMessage(turned as Message), formatMessage(each));
    }),
  );
});

Deno.test("parsing never throws and takes every text for something", () => {
  const pieces = fc.oneof(
    fc.string({ unit: "binary" }),
    fc.constantFrom("::", ":", "\n", "\0", "-1", "NaN", "1e9", "\ud800", ...KEYWORDS),
  );
  fc.assert(
    fc.property(fc.array(pieces, { maxLength: 8 }), (parts) => {
      const text = parts.join("");
      const found = parseMessage(text);
      if (found.type === "LOG") assert.equal(found.text, text);
    }),
    { numRuns: 3_000 },
  );
});

Deno.test("what was parsed formats to a text that parses to the same", () => {
  const argument = fc.oneof(fc.string(), fc.nat().map(String), fc.constantFrom("", "a:1:b", "train", "1.5"));
  const keyword = fc.constantFrom(...KEYWORDS.filter((each) => each !== "JOB_COMPLETE"));
  fc.assert(
    fc.property(keyword, fc.array(argument, { maxLength: 5 }), (keyword, parts) => {
      const found = parseMessage([keyword, ...parts].join("::"));
      if (found.type !== "MALFORMED") assert.deepEqual(parseMessage(formatMessage(found)), found);
    }),
    { numRuns: 2_000 },
  );
});

const HEX = "0123456789abcdef".repeat(4);

const KEYWORDS = [
  "PEER_CHALLENGE",
  "PEER_PROOF",
  "STORAGE_BACKEND",
  "USER_SUBDIR",
  "JOB_ID",
  "FILE_META",
  "SHARED_INPUT_PATH",
  "SHARED_OUTPUT_PATH",
  "SHARED_STORAGE_JOB",
  "PACKAGE_TYPE",
  "OUTPUT_DIR",
  "END_OF_FILE",
  "ZMQ_CTRL",
  "PATH_VALIDATED",
  "BACKEND_NOT_AVAILABLE",
  "PATH_ERROR",
  "TRAIN_JOB_START",
  "TRAIN_JOB_ERROR",
  "JOB_COMPLETE",
  "JOB_FAILED",
  "TRACK_LOG",
  "INFERENCE_JOB_ERROR",
] as const;

const EXAMPLES: readonly [string, Message][] = [
  [`PEER_CHALLENGE::${HEX}`, { type: "PEER_CHALLENGE", nonce: HEX }],
  [`PEER_PROOF::${HEX}`, { type: "PEER_PROOF", proof: HEX }],
  ["STORAGE_BACKEND::vast", { type: "STORAGE_BACKEND", name: "vast" }],
  ["USER_SUBDIR::", { type: "USER_SUBDIR", subdir: "" }],
  ["JOB_ID::job_1a2b3c4d", { type: "JOB_ID", id: "job_1a2b3c4d" }],
  ["FILE_META::pkg.zip:123456:False", { type: "FILE_META", name: "pkg.zip", size: 123456, hint: "False" }],
  ["FILE_META::a:b.zip:0:", { type: "FILE_META", name: "a:b.zip", size: 0, hint: "" }],
  ["FILE_META::two\nlines:5:false", { type: "FILE_META", name: "two\nlines", size: 5, hint: "false" }],
  ["SHARED_INPUT_PATH::project/pkg.zip", { type: "SHARED_INPUT_PATH", path: "project/pkg.zip" }],
  ["SHARED_INPUT_PATH::a::b", { type: "SHARED_INPUT_PATH", path: "a::b" }],
  ["SHARED_OUTPUT_PATH::.", { type: "SHARED_OUTPUT_PATH", path: "." }],
  ["SHARED_STORAGE_JOB::start", { type: "SHARED_STORAGE_JOB", command: "start" }],
  ["PACKAGE_TYPE::track", { type: "PACKAGE_TYPE", kind: "track" }],
  ["OUTPUT_DIR::models", { type: "OUTPUT_DIR", dir: "models" }],
  ["END_OF_FILE", { type: "END_OF_FILE" }],
  ["ZMQ_CTRL::{}", { type: "ZMQ_CTRL", text: "{}" }],
  ["PATH_VALIDATED::input", { type: "PATH_VALIDATED", what: "input" }],
  ["BACKEND_NOT_AVAILABLE::vast", { type: "BACKEND_NOT_AVAILABLE", name: "vast" }],
  ["PATH_ERROR::x: y", { type: "PATH_ERROR", text: "x: y" }],
  ["TRAIN_JOB_ERROR::centroid::-9", { type: "TRAIN_JOB_ERROR", name: "centroid", code: -9 }],
  ["TRAIN_JOB_ERROR::a::1::2", { type: "TRAIN_JOB_ERROR", name: "a::1", code: 2 }],
  ["TRAINING_JOBS_DONE", { type: "TRAINING_JOBS_DONE" }],
  ["JOB_COMPLETE::j::a/b", { type: "JOB_COMPLETE", id: "j", path: "a/b" }],
  ["JOB_COMPLETE::j::", { type: "JOB_COMPLETE", id: "j", path: "" }],
  ["JOB_COMPLETE::j::a::3::1.5", { type: "JOB_COMPLETE", id: "j", path: "a", fileCount: 3, totalMb: 1.5 }],
  ["JOB_FAILED::Disk space exhausted", { type: "JOB_FAILED", text: "Disk space exhausted" }],
  ["JOB_FAILED::j::a::b", { type: "JOB_FAILED", id: "j", text: "a::b" }],
  ["INFERENCE_START", { type: "INFERENCE_START" }],
  ["TRACK_LOG: 5 frames", { type: "TRACK_LOG", line: " 5 frames" }],
  ["INFERENCE_JOB_ERROR::inference::1", { type: "INFERENCE_JOB_ERROR", name: "inference", code: 1 }],
  ["INFERENCE_ERROR::No track script found", { type: "INFERENCE_ERROR", text: "No track script found" }],
];

for (const [text, expected] of EXAMPLES) {
  Deno.test(`parses ${JSON.stringify(text)}, and formats it again`, () => {
    assert.deepEqual(parseMessage(text), expected);
    assert.equal(formatMessage(expected), text);
  });
}

Deno.test("only the start of a text counts; everything else is output of a job", () => {
  const texts = [
    " FILE_META::a:1:b",
    "Epoch 1 FILE_META::a:1:b",
    "\rEND_OF_FILE",
    "END_OF_FILE\n",
    "END_OF_FILE::",
    "file_meta::a:1:b",
    "constructor::x",
    "__proto__::x",
    "toString::",
    "::",
    "",
    "STORAGE_BACKEND:vast",
    "READY",
    "TRAINING_COMPLETE",
    "[log-stream error] x\n",
  ];
  for (const text of texts) assert.deepEqual(parseMessage(text), { type: "LOG", text });
});

Deno.test("what begins like a message but breaks its rules says what was expected", () => {
  const broken: readonly [string, RegExp][] = [
    ["PEER_CHALLENGE::", /expected 64 hex digits, found ""/],
    [`PEER_PROOF::${HEX.toUpperCase()}`, /expected 64 hex digits/],
    [`PEER_PROOF::${HEX}\n`, /expected 64 hex digits/],
    ["FILE_META::a", /expected \{name\}:\{size in bytes\}:\{hint\}, found "a"/],
    ["FILE_META:::1:x", /expected/],
    ["FILE_META::a:-1:x", /expected/],
    ["FILE_META::a:1.5:x", /expected/],
    ["FILE_META::a:1e3:x", /expected/],
    [`FILE_META::a:${"9".repeat(16)}:x`, /expected/],
    ["FILE_META::a::5::3", /expected/],
    ["PACKAGE_TYPE::Train", /"train" or "track", found "Train"/],
    ["PACKAGE_TYPE::", /"train" or "track"/],
    ["TRAIN_JOB_ERROR::name", /exit code/],
    ["TRAIN_JOB_ERROR::name::one", /exit code/],
    ["TRAIN_JOB_ERROR::name::", /exit code/],
    ["INFERENCE_JOB_ERROR::1", /exit code/],
    ["JOB_COMPLETE::", /job id/],
    ["JOB_COMPLETE::j", /relative path/],
  ];
  for (const [text, expected] of broken) {
    const found = parseMessage(text);
    assert.equal(found.type, "MALFORMED", text);
    assert.match(reason(found), expected);
  }
});

Deno.test("a malformed message is quoted short", () => {
  const found = parseMessage(`FILE_META::${"x".repeat(1_000_000)}`);
  assert.equal(found.type, "MALFORMED");
  assert.ok(reason(found).length < 300);
});

Deno.test("counts of a finished job that are no numbers are left out, the message stays", () => {
  const plain = { type: "JOB_COMPLETE", id: "j", path: "a" };
  assert.deepEqual(parseMessage("JOB_COMPLETE::j::a::many::lots"), plain);
  assert.deepEqual(parseMessage("JOB_COMPLETE::j::a::-1::Infinity"), plain);
  assert.deepEqual(parseMessage("JOB_COMPLETE::j::a::-1::"), plain);
});

Deno.test("a size that is only blanks is no number", () => {
  assert.deepEqual(parseMessage("JOB_COMPLETE::j::a::1.5:: "), { type: "JOB_COMPLETE", id: "j", path: "a" });
});

Deno.test("a finished job's count of files is kept without the size beside it", () => {
  const message: Message = { type: "JOB_COMPLETE", id: "j", path: "a", fileCount: 3 };
  assert.deepEqual(parseMessage("JOB_COMPLETE::j::a::3"), message);
  assert.deepEqual(parseMessage(formatMessage(message)), message);
});

Deno.test("hostile arguments take no time that grows with their square", () => {
  const long = ":1".repeat(32_000);
  const started = performance.now();
  for (const text of [`FILE_META::${long}`, `TRAIN_JOB_ERROR::${long}x`, `JOB_COMPLETE::${long}`]) {
    parseMessage(text);
  }
  assert.ok(performance.now() - started < 1_000);
});
