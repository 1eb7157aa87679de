import assert from "node:assert/strict";
import { askWorker, findingsHere } from "../../../client/preflight/ask_worker.ts";
import type { Finding } from "../../../client/preflight/finding.ts";
import type { Questions } from "../../../client/preflight/questions.ts";
import { Conversation } from "../../../client/conversation.ts";
import { WorkerLostError } from "../../../client/job_error.ts";
import { PREFLIGHT, requestSchema } from "../../../protocol/preflight.ts";
import { linkedChannels } from "../../rtc/fake_native.ts";
import { type Answers, keepingScreen, play } from "../scripted.ts";

const GB = 1e9;

function questions(paths: readonly string[], more: Partial<Questions> = {}): Questions {
  const files = paths.map((path) => ({ path, namedIn: "labels.slp", isHere: path.includes("here") }));
  return { files, unpackedBytes: undefined, packedBytes: 0, ...more };
}

/** The findings from a played worker, and what that heard. */
async function asked(
  given: Questions,
  answers: Answers,
  { features = [PREFLIGHT], isSent = false } = {},
): Promise<{ findings: Finding[]; heard: string[] }> {
  const { near, far } = linkedChannels();
  const heard = play(far, answers);
  const talk = {
    conversation: new Conversation(near),
    screen: keepingScreen(),
    signal: new AbortController().signal,
  };
  try {
    return { findings: await askWorker(talk, features, given, isSent), heard };
  } finally {
    await near.close();
  }
}

/** A worker that sees what is called so, and has so many bytes free. */
function worker(free: number | null): Answers {
  return (text) => {
    const { files } = requestSchema.parse(JSON.parse(text.replace("PREFLIGHT::", "")));
    const seen = files.map((path) =>
      path.includes("seen") ? true : path.includes("elsewhere") ? null : false
    );
    return [`PREFLIGHT_REPORT::${JSON.stringify({ files: seen, free })}`];
  };
}

Deno.test("ask worker: what it does not see is a failure, what it says nothing of a warning", async () => {
  const paths = ["/vast/seen.mp4", "/vast/gone.mp4", "/elsewhere/here.mp4"];
  const { findings } = await asked(questions(paths), worker(null));
  assert.deepEqual(findings.map(({ level, file, text }) => `${level} ${file} ${text}`), [
    "failure labels.slp /vast/gone.mp4 is not there on the worker",
    "warning labels.slp /elsewhere/here.mp4 is on no storage backend of the worker, which cannot say whether it is " +
    "there; it is there on this machine",
    "ok labels.slp the worker sees /vast/seen.mp4",
  ]);
});

Deno.test("ask worker: 120 % of what is unpacked has to be free, and of the package itself where that is sent", async () => {
  const room = { unpackedBytes: 10 * GB, packedBytes: 5 * GB };
  const cases: [free: number, isSent: boolean, level: string][] = [
    [12 * GB, false, "ok"],
    [12 * GB - 1, false, "failure"],
    [12 * GB - 1, true, "failure"],
    // A part of it may be there from an earlier attempt.
    [12 * GB, true, "warning"],
    [18 * GB, true, "ok"],
  ];
  for (const [free, isSent, level] of cases) {
    const { findings: [finding] } = await asked(questions([], room), worker(free), { isSent });
    assert.equal(finding?.level, level, `${free} ${isSent}`);
  }
});

Deno.test("ask worker: many files are asked in several requests, and told as a few", async () => {
  const paths = Array.from({ length: 200 }, (_, index) => `/vast/gone-${index}.mp4`);
  const { findings, heard } = await asked(questions(paths), worker(null));
  assert.equal(heard.length, 4);
  assert.equal(findings.length, 11);
  assert.equal(findings.at(-1)?.text, "190 further files like these");
});

Deno.test("ask worker: one that cannot be asked gets no question, and a warning only when there was one", async () => {
  const none = await asked(questions([], { unpackedBytes: GB }), () => [], { features: [] });
  assert.deepEqual(none, { findings: [], heard: [] });
  const { findings, heard } = await asked(questions(["/a.mp4", "/b.mp4"]), () => [], { features: ["jobs"] });
  assert.deepEqual(heard, []);
  assert.deepEqual(findings.map(({ level, text }) => `${level} ${text}`), [
    "warning it cannot be asked whether it sees /a.mp4 and 1 more files",
  ]);
  assert.deepEqual((await asked(questions([]), () => [])).heard, []);
});

Deno.test("ask worker: a refusal or nonsense is a warning, a lost worker is an error", async () => {
  for (
    const answer of [
      "JOB_FAILED::x::no",
      "PREFLIGHT_REPORT::nonsense",
      'PREFLIGHT_REPORT::{"files":[],"free":1}',
    ]
  ) {
    const { findings } = await asked(questions(["/a.mp4"]), () => [answer]);
    assert.deepEqual(findings.map(({ level, file }) => `${level} ${file}`), ["warning worker"], answer);
  }
  const { near, far } = linkedChannels();
  await far.close();
  const talk = {
    conversation: new Conversation(near),
    screen: keepingScreen(),
    signal: new AbortController().signal,
  };
  await assert.rejects(askWorker(talk, [PREFLIGHT], questions(["/a.mp4"]), false), WorkerLostError);
});

Deno.test("ask worker: without one, what this machine sees is told", () => {
  const levels = findingsHere(questions(["/here.mp4", "/gone.mp4"])).map(({ level, text }) =>
    `${level} ${text}`
  );
  assert.match(
    levels.join("\n"),
    /^warning \/gone\.mp4 is not there on this machine\nok \/here\.mp4 is there/,
  );
});
