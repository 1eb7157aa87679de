import assert from "node:assert/strict";
import { join } from "node:path";
import { formatMessage, type Message } from "../../protocol/message.ts";
import { StorageConfig } from "../../storage/backend.ts";
import { PathValidationError } from "../../storage/containment.ts";
import { StorageFlow } from "../../worker/storage_flow.ts";
import { withTempDir } from "../examples/trainer_run.ts";

interface Places {
  dir: string;
  flow: StorageFlow;
  withoutLegacy: StorageFlow;
}

/** `dir/vast` is a backend and the legacy root is `dir/legacy`; `alice/pkg.zip` is in the backend, `old.zip` in the root. */
function withFlow(test: (places: Places) => Promise<void>): Promise<void> {
  return withTempDir(async (made) => {
    const dir = await Deno.realPath(made);
    await Deno.mkdir(join(dir, "vast/alice"), { recursive: true });
    await Deno.mkdir(join(dir, "legacy"));
    await Deno.writeTextFile(join(dir, "vast/alice/pkg.zip"), "zip");
    await Deno.writeTextFile(join(dir, "legacy/old.zip"), "zip");
    await Deno.writeTextFile(join(dir, "secret.zip"), "zip");
    await Deno.symlink(join(dir, "secret.zip"), join(dir, "vast/alice/link.zip"));
    const backends = new StorageConfig(
      ["vast", "gone"].map((name) => ({ name, basePath: join(dir, name), type: "local", description: "" })),
    );
    const flow = new StorageFlow(backends, join(dir, "legacy"), "peer");
    await test({ dir, flow, withoutLegacy: new StorageFlow(backends, undefined, "peer") });
  });
}

async function text(message: Promise<Message>): Promise<string> {
  return formatMessage(await message);
}

Deno.test("storage flow: backends that are not configured or not there are not available", () =>
  withFlow(async ({ flow }) => {
    assert.equal(await text(flow.chooseBackend("vast")), "PATH_VALIDATED::backend");
    for (const name of ["gone", "nfs", "", "__proto__"]) {
      assert.equal(await text(flow.chooseBackend(name)), `BACKEND_NOT_AVAILABLE::${name}`);
    }
  }));

for (
  const [path, answer] of [
    ["pkg.zip", "PATH_VALIDATED::input"],
    [".", "PATH_VALIDATED::input"],
    ["no.zip", "PATH_ERROR::Input path does not exist: no.zip"],
    ["pkg.zip/x", "PATH_ERROR::Input path does not exist: pkg.zip/x"],
    ["../alice/pkg.zip", "PATH_ERROR::Path outside shared storage: ../alice/pkg.zip"],
    ["../../no", "PATH_ERROR::Path outside shared storage: ../../no"],
    ["/etc/passwd", "PATH_ERROR::Path outside shared storage: /etc/passwd"],
    ["link.zip", "PATH_ERROR::Path outside shared storage: link.zip"],
  ] as const
) {
  Deno.test(`storage flow: the input ${path} is answered ${answer}`, () =>
    withFlow(async ({ flow }) => {
      await flow.chooseBackend("vast");
      flow.chooseUserSubdir("alice");
      assert.equal(await text(flow.chooseInput(path)), answer);
    }));
}

Deno.test("storage flow: the output folder is made, also when it is deep; outside nothing is made", () =>
  withFlow(async ({ flow, dir }) => {
    await flow.chooseBackend("vast");
    flow.chooseUserSubdir("alice");
    assert.equal(await text(flow.chooseOutput("a/b")), "PATH_VALIDATED::output");
    assert.ok((await Deno.stat(join(dir, "vast/alice/a/b"))).isDirectory);
    assert.match(await text(flow.chooseOutput("../../out")), /^PATH_ERROR::Path outside shared storage/);
    await assert.rejects(Deno.stat(join(dir, "out")), Deno.errors.NotFound);
  }));

Deno.test("storage flow: a user subdirectory that leads out is refused with the path, not the subdirectory", () =>
  withFlow(async ({ flow }) => {
    await flow.chooseBackend("vast");
    flow.chooseUserSubdir("..");
    assert.equal(
      await text(flow.chooseInput("secret.zip")),
      "PATH_ERROR::Path outside shared storage: secret.zip",
    );
  }));

Deno.test("storage flow: without a backend the legacy root counts, without both nothing is configured", () =>
  withFlow(async ({ flow, withoutLegacy }) => {
    assert.equal(await text(flow.chooseInput("old.zip")), "PATH_VALIDATED::input");
    const none = "PATH_ERROR::Shared storage not configured on worker";
    assert.equal(await text(withoutLegacy.chooseInput("old.zip")), none);
    assert.equal(await text(withoutLegacy.chooseOutput(".")), none);
    assert.equal(withoutLegacy.takePlaces(), undefined);
  }));

Deno.test("storage flow: places are taken once, and a refused path takes the earlier one away", () =>
  withFlow(async ({ flow }) => {
    await flow.chooseInput("old.zip");
    assert.equal(flow.takePlaces(), undefined);
    await flow.chooseInput("old.zip");
    await flow.chooseOutput("out");
    assert.ok(flow.takePlaces());
    assert.equal(flow.takePlaces(), undefined);
    await flow.chooseInput("old.zip");
    await flow.chooseOutput("out");
    await flow.chooseInput("missing.zip");
    assert.equal(flow.takePlaces(), undefined);
  }));

Deno.test("storage flow: a new backend and a reset forget user and paths", () =>
  withFlow(async ({ flow }) => {
    for (const forget of [(): unknown => flow.chooseBackend("vast"), (): unknown => flow.reset()]) {
      await flow.chooseBackend("vast");
      flow.chooseUserSubdir("alice");
      await flow.chooseInput("pkg.zip");
      await flow.chooseOutput("out");
      await forget();
      assert.equal(flow.takePlaces(), undefined);
      assert.match(await text(flow.chooseInput("pkg.zip")), /^PATH_ERROR::Input path does not exist/);
    }
    assert.equal(await text(flow.chooseInput("old.zip")), "PATH_VALIDATED::input");
  }));

Deno.test("storage flow: what is swapped for a link after the check is not opened", () =>
  withFlow(async ({ flow, dir }) => {
    await flow.chooseInput("old.zip");
    await flow.chooseOutput("out");
    const places = flow.takePlaces()!;
    assert.deepEqual([places.received, places.outputReceived], ["old.zip", "out"]);
    await Deno.remove(join(dir, "legacy/old.zip"));
    await Deno.symlink(join(dir, "secret.zip"), join(dir, "legacy/old.zip"));
    await Deno.remove(join(dir, "legacy/out"));
    await Deno.symlink(dir, join(dir, "legacy/out"));
    const { signal } = new AbortController();
    const nothing = {
      kind: "train",
      models: undefined,
      predictions: [],
      failed: [],
      runs: 1,
      began: 0,
    } as const;
    await assert.rejects(places.open(dir, signal), PathValidationError);
    await assert.rejects(places.deliver(nothing, signal), PathValidationError);
  }));

Deno.test("storage flow: a package that vanished after the check is told apart from one that never was there", () =>
  withFlow(async ({ flow, dir }) => {
    await flow.chooseInput("old.zip");
    await flow.chooseOutput("out");
    const places = flow.takePlaces()!;
    await Deno.remove(join(dir, "legacy/old.zip"));
    await assert.rejects(places.open(dir, new AbortController().signal), (error: unknown) => {
      assert.ok(error instanceof PathValidationError);
      assert.equal(error.message, "File not found: old.zip");
      return true;
    });
  }));
