import assert from "node:assert/strict";
import { choiceLines } from "../../client/ask_worker.ts";
import { misfit, noWorker, rankWorkers, type WorkerInfo, workerInfo } from "../../client/choose_worker.ts";
import { Conversation } from "../../client/conversation.ts";
import { lineOf, type Summary, table } from "../../client/screen.ts";
import { FakeNative } from "../rtc/fake_native.ts";

function worker(peerId: string, gpuMemoryMb: number, backends?: string[]): WorkerInfo {
  const more = { labels: [], jobTypes: undefined };
  return { peerId, gpuMemoryMb, backends, gpuModel: "G", hostname: "h", status: "available", ...more };
}

Deno.test("ranking: first wanted backend, then the next, then memory, then the id", () => {
  const workers = [
    worker("unknown", 99),
    worker("none", 99, []),
    worker("second", 99, ["scratch"]),
    worker("small", 1, ["vast"]),
    worker("b-big", 8, ["vast", "scratch"]),
    worker("a-big", 8, ["vast"]),
  ];
  const before = [...workers];
  const ranked = rankWorkers(workers, ["vast", "scratch"]).map(({ peerId }) => peerId);
  assert.deepEqual(ranked, ["a-big", "b-big", "small", "second", "none", "unknown"]);
  assert.deepEqual(workers, before);
  assert.equal(rankWorkers(workers, [])[0]?.peerId, "none");
  assert.deepEqual(rankWorkers([], ["vast"]), []);
});

Deno.test("worker facts: what is missing or of another type is left out", () => {
  const properties = {
    storage_backends: ["vast", 3],
    gpu_memory_mb: "8",
    gpu_model: 1,
    hostname: "h",
    status: null,
    labels: ["a100", 1],
    supported_job_types: ["training"],
  };
  const tags = ["sleap-rtc", "training-worker", "big", "a100"];
  const info = workerInfo({ peer_id: "w", metadata: { tags, properties } });
  assert.deepEqual(info, {
    peerId: "w",
    backends: ["vast"],
    gpuModel: "unknown",
    gpuMemoryMb: 0,
    hostname: "h",
    status: "unknown",
    labels: ["a100", "big"],
    jobTypes: ["training"],
  });
  assert.equal(workerInfo({ peer_id: "w", metadata: null }).backends, undefined);
});

Deno.test("suitable: storage, memory, labels and the kind of job, each with its own reason", () => {
  const it = { ...worker("w", 8, ["vast"]), labels: ["a100", "fast"], jobTypes: ["training"] };
  assert.equal(misfit(it, {}), undefined);
  assert.equal(
    misfit(it, { kind: "train", storage: "vast", gpuMemoryMb: 8, labels: ["fast", "a100"] }),
    undefined,
  );
  assert.equal(misfit(it, { storage: "nfs" }), 'no storage "nfs"');
  assert.equal(misfit({ ...it, backends: undefined }, { storage: "vast" }), 'no storage "vast"');
  assert.equal(misfit(it, { gpuMemoryMb: 9 }), "8 of 9 MiB GPU memory");
  assert.equal(misfit(it, { labels: ["a100", "x", "y"] }), 'no label "x", "y"');
  assert.equal(misfit(it, { kind: "track" }), "no inference");
  assert.equal(misfit({ ...it, jobTypes: undefined }, { kind: "track" }), undefined);
});

Deno.test("no worker: the error names who is missing, or what each lacks", () => {
  const all = [worker("w1", 8, ["vast"]), worker("w2", 0, ["nfs"])];
  assert.match(noWorker(all, {}, "w3").hint ?? "", /^there are: w1, w2$/);
  assert.match(noWorker([], {}).message, /no worker is in the room/);
  const { message } = noWorker(all, { storage: "nfs", gpuMemoryMb: 4 });
  assert.match(message, /: w1 \(no storage "nfs"\), w2 \(0 of 4 MiB GPU memory\)$/);
});

Deno.test("choice: shared storage is marked, who is unsuitable cannot be chosen, who is busy can where it is waited for", () => {
  const workers = [
    worker("good", 8, ["vast", "scratch"]),
    { ...worker("busy", 8, ["vast"]), status: "busy" },
    worker("evil\x1b[2J", 8, []),
  ];
  const choice = { workers, needs: { storage: "vast" }, ours: ["vast"], mayWait: true };
  const lines = choiceLines(choice);
  assert.match(lines[0]!.name, /^good {2,}h {2}available {2,}G, 8 MiB {2}shares vast$/);
  assert.match(lines[1]!.name, /^busy {2,}h {2}busy {2,}G/);
  assert.ok(!lines[2]!.name.includes("\x1b"));
  assert.deepEqual(lines.map(({ disabled }) => disabled), [false, false, '(no storage "vast")']);
  const twins = ["12345678-aa", "12345678-ab"].map((id) => worker(id, 8));
  assert.deepEqual(choiceLines({ ...choice, workers: twins }).map(({ name }) => name.split(" ")[0]), [
    "12345678-aa",
    "12345678-ab",
  ]);
  const notWaiting = choiceLines({ ...choice, mayWait: false });
  assert.deepEqual(notWaiting.map(({ disabled }) => disabled), [false, "(busy)", '(no storage "vast")']);
});

Deno.test("screen: a table has aligned columns and no blanks behind", () => {
  assert.equal(
    table([["a", "long heading"], ["wide cell", "x"]]),
    "a          long heading\n---------  ------------\nwide cell  x",
  );
  assert.equal(table([["a"]]), "a\n-");
});

const SUMMARY: Summary = {
  ok: false,
  job_id: "job_1",
  method: "rtc",
  worker: "w",
  channel_bytes: 2048,
  connection: { route: null, candidates: null, rtt_ms: null, reconnects: 0, resent_bytes: 0 },
  time_to_job_start_s: null,
  total_s: 2,
  results: "/out",
  results_storage: null,
  results_files: null,
  results_bytes: null,
  error: "why",
  code: "JOB_FAILED",
};

Deno.test("screen: lines of events", () => {
  assert.equal(
    lineOf({ event: "worker", worker: "w", backends: null }),
    "worker w, storage backends: unknown",
  );
  assert.equal(lineOf({ event: "worker", worker: "w", backends: [] }), "worker w, storage backends: none");
  assert.equal(lineOf({ event: "method", method: "copy", why: "so" }), "method: copy (so)");
  assert.equal(lineOf({ event: "run_ended", name: "a", exit_code: 0 }), "run a is done");
  assert.equal(lineOf({ event: "run_ended", name: "a", exit_code: -9 }), "run a failed with exit code -9");
  assert.equal(lineOf({ event: "log", text: "\r\u001b[31mred\u001b[0m\tx\n" }), "red\tx");
  assert.equal(
    lineOf({ event: "summary", summary: SUMMARY }),
    "failed: why (method rtc, 2.0 KiB over the channel, 2.0 s in all)\nresults: /out",
  );
  const results_storage = { backend: "vast", path: "alice/out" };
  const stored = { ...SUMMARY, results_storage, results_files: 1, results_bytes: 1536 };
  assert.match(
    lineOf({ event: "summary", summary: stored }) ?? "",
    /\nresults \(1 file, 1\.5 KiB\): \/out\non storage vast: alice\/out$/,
  );
  assert.equal(
    lineOf({ event: "fetched", into: "/here", files: ["a", "b"], there: 1 }),
    "2 files fetched to /here, 1 was there already",
  );
  const done = { ...SUMMARY, ok: true, error: null, code: null, results: null, time_to_job_start_s: 1.25 };
  assert.equal(
    lineOf({ event: "summary", summary: done }),
    "done (method rtc, 2.0 KiB over the channel, job started after 1.3 s, 2.0 s in all)",
  );
  const connection = {
    route: "relay",
    candidates: "a to b",
    rtt_ms: 12,
    reconnects: 1,
    resent_bytes: 1024,
  } as const;
  assert.match(
    lineOf({ event: "summary", summary: { ...done, connection } }) ?? "",
    /2\.0 KiB over the channel \(through a TURN server, round trip 12 ms, reconnected once, 1\.0 KiB sent again\),/,
  );
});

Deno.test("screen: nothing that a worker says drives the terminal", () => {
  const evil = "\u001b]0;title\u0007\u001b[2J";
  const lines = [
    lineOf({ event: "warning", text: `the worker says: ${evil}` }),
    lineOf({ event: "run_started", name: evil }),
    lineOf({ event: "run_ended", name: evil, exit_code: 0 }),
    lineOf({ event: "worker", worker: "w", backends: [evil] }),
    lineOf({ event: "summary", summary: { ...SUMMARY, error: evil } }),
    table([["host"], [evil]]),
  ];
  for (const line of lines) assert.ok(!/[^\P{Cc}\n]/u.test(line!), JSON.stringify(line));
});

Deno.test("conversation: what comes after a limit passed is not lost", async () => {
  const native = new FakeNative();
  const conversation = new Conversation(native.channel());
  assert.equal(await conversation.next(0), undefined);
  native.deliver("END_OF_FILE");
  native.deliver(Uint8Array.of(1));
  assert.deepEqual(await conversation.next(1000), { type: "END_OF_FILE" });
  assert.deepEqual(await conversation.next(), { type: "BYTES", bytes: Uint8Array.of(1) });
  const reason = new Error("enough");
  const abort = new AbortController();
  const waiting = assert.rejects(conversation.next(undefined, abort.signal), reason);
  abort.abort(reason);
  await waiting;
  native.deliver("FILE_META::bad");
  assert.equal((await conversation.next())?.type, "MALFORMED");
  native.end();
  assert.deepEqual(await conversation.next(), { type: "CLOSED" });
  assert.deepEqual(await conversation.next(), { type: "CLOSED" });
});
