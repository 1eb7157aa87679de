import assert from "node:assert/strict";
import { join } from "node:path";
import { backendOrder, type PlanInput, planSubmission, TransferImpossibleError } from "../../client/plan.ts";
import { fetchFromInbox, fetchFromStorage } from "../../client/results.ts";
import { StorageBackendNotFound, StorageConfig } from "../../storage/backend.ts";
import { PathValidationError } from "../../storage/containment.ts";
import { withTempDir } from "../examples/trainer_run.ts";
import { names, zipOf } from "../worker/session_lab.ts";

/** Calls a test with a plan for `a/u/in.zip` or `home/out.zip`; backends `a` and `b` are there, `gone` is not. */
function withPlan(
  test: (
    plan: (fields: Partial<PlanInput>, inside?: boolean) => Promise<string[]>,
    dir: string,
  ) => Promise<void>,
): Promise<void> {
  return withTempDir(async (made) => {
    const dir = await Deno.realPath(made);
    for (const folder of ["a/u", "b", "home"]) await Deno.mkdir(join(dir, folder), { recursive: true });
    await Deno.writeTextFile(join(dir, "a/u/in.zip"), "");
    await Deno.writeTextFile(join(dir, "home/out.zip"), "");
    const storage = new StorageConfig(
      ["gone", "b", "a"].map((name) => ({ name, basePath: join(dir, name), type: "local", description: "" })),
    );
    const plan = async (fields: Partial<PlanInput>, inside = true): Promise<string[]> => {
      const attempts = await planSubmission({
        packagePath: join(dir, inside ? "a/u/in.zip" : "home/out.zip"),
        isFolder: false,
        storage,
        legacyRoot: undefined,
        workerBackends: undefined,
        preferredBackend: undefined,
        userSubdir: undefined,
        transfer: "auto",
        ...fields,
      });
      for (const { why } of attempts) assert.notEqual(why, "");
      return attempts.map((each) =>
        `${each.method}${"backend" in each ? ` ${each.backend}` : "legacyRoot" in each ? " legacy" : ""}`
      );
    };
    await test(plan, dir);
  });
}

Deno.test("plan: every combination of place, worker and preference", () =>
  withPlan(async (plan) => {
    const legacyRoot = "/legacy";
    assert.deepEqual(await plan({}), ["in place a", "copy b", "rtc"]);
    assert.deepEqual(await plan({ legacyRoot }), ["in place a", "copy b", "copy legacy", "rtc"]);
    assert.deepEqual(await plan({ workerBackends: ["a"] }), ["in place a", "rtc"]);
    assert.deepEqual(await plan({ workerBackends: ["b"] }), ["copy b", "rtc"]);
    assert.deepEqual(await plan({ workerBackends: ["gone"] }), ["rtc"]);
    assert.deepEqual(await plan({ workerBackends: [] }), ["rtc"]);
    assert.deepEqual(await plan({ workerBackends: [], legacyRoot }), ["copy legacy", "rtc"]);
    assert.deepEqual(await plan({ preferredBackend: "b" }), ["in place a", "copy b", "rtc"]);
    assert.deepEqual(await plan({}, false), ["copy a", "rtc"]);
    assert.deepEqual(await plan({ preferredBackend: "b" }, false), ["copy b", "rtc"]);
    assert.deepEqual(await plan({ preferredBackend: "gone" }, false), ["copy a", "rtc"]);
    assert.deepEqual(await plan({ workerBackends: ["b"], preferredBackend: "a" }, false), ["copy b", "rtc"]);
    const storage = new StorageConfig([]);
    assert.deepEqual(await plan({ storage }), ["rtc"]);
    assert.deepEqual(await plan({ storage, legacyRoot }), ["copy legacy", "rtc"]);
  }));

Deno.test("plan: a way that is asked for is the only one, and one that cannot be had an error", () =>
  withPlan(async (plan, dir) => {
    const legacyRoot = "/legacy";
    assert.deepEqual(await plan({ transfer: "in-place", legacyRoot }), ["in place a"]);
    assert.deepEqual(await plan({ transfer: "copy", legacyRoot }), ["copy a", "copy legacy"]);
    assert.deepEqual(await plan({ transfer: "copy", preferredBackend: "b" }), ["copy b"]);
    assert.deepEqual(await plan({ transfer: "rtc", legacyRoot }), ["rtc"]);
    const impossible = (fields: Partial<PlanInput>, inside: boolean, text: RegExp): Promise<void> =>
      assert.rejects(plan(fields, inside), (error) => {
        assert.ok(error instanceof TransferImpossibleError && error.hint !== undefined);
        assert.match(error.message, text);
        return true;
      });
    await impossible(
      { transfer: "in-place" },
      false,
      /lies in no storage backend of the worker, which has none/,
    );
    await impossible({ transfer: "in-place", workerBackends: ["b"] }, true, /of the worker, which has b$/);
    await impossible({ transfer: "copy", workerBackends: ["x"] }, true, /here a, b, gone, on the worker x$/);
    await impossible(
      { transfer: "copy", isFolder: true, packagePath: join(dir, "a/u") },
      true,
      /is a folder$/,
    );
  }));

Deno.test("plan: the data channel that is asked for is not said to be without alternative", () =>
  withPlan(async (_plan, dir) => {
    const [attempt] = await planSubmission({
      packagePath: join(dir, "a/u/pkg.zip"),
      isFolder: false,
      storage: new StorageConfig([{ name: "a", basePath: join(dir, "a") }]),
      legacyRoot: undefined,
      workerBackends: ["a"],
      preferredBackend: undefined,
      userSubdir: undefined,
      transfer: "rtc",
    });
    assert.deepEqual(attempt, { method: "rtc", why: "asked for" });
  }));

Deno.test("plan: copies go to the folder of the user whose package it is, unless another is named", () =>
  withPlan(async (_plan, dir) => {
    const storage = new StorageConfig(["a", "b"].map((name) => ({ name, basePath: join(dir, name) })));
    const folderOf = async (packagePath: string, userSubdir?: string): Promise<string> => {
      const input = { storage, packagePath, userSubdir, isFolder: false, transfer: "copy" as const };
      const rest = { legacyRoot: undefined, workerBackends: ["b"], preferredBackend: undefined };
      const [attempt] = await planSubmission({ ...input, ...rest });
      return attempt && "folder" in attempt ? attempt.folder : "";
    };
    assert.equal(await folderOf(join(dir, "a/u/in.zip")), join(dir, "b/u"));
    assert.equal(await folderOf(join(dir, "a/u/in.zip"), "eve"), join(dir, "b/eve"));
    assert.equal(await folderOf(join(dir, "home/out.zip")), join(dir, "b"));
    await Deno.writeTextFile(join(dir, "a/in.zip"), "");
    assert.equal(await folderOf(join(dir, "a/in.zip")), join(dir, "b"));
  }));

Deno.test("plan: a preferred backend that is not here and a user subdirectory that leads out are errors", () =>
  withPlan(async (plan) => {
    await assert.rejects(plan({ preferredBackend: "nfs" }), StorageBackendNotFound);
    await assert.rejects(plan({ userSubdir: "../x" }), PathValidationError);
    await assert.rejects(plan({ userSubdir: "/x" }), PathValidationError);
  }));

Deno.test("plan: the preferred backend comes first, then the names in order", () => {
  const entry = { basePath: "/x", type: "local", description: "" };
  const storage = new StorageConfig(["c", "a", "b"].map((name) => ({ name, ...entry })));
  assert.deepEqual(backendOrder(storage, undefined), ["a", "b", "c"]);
  assert.deepEqual(backendOrder(storage, "b"), ["b", "a", "c"]);
});

const SIGNAL = new AbortController().signal;

Deno.test("results: the first folder that exists comes home, nothing there is overwritten", () =>
  withPlan(async (_plan, dir) => {
    await Deno.mkdir(join(dir, "b/models/run"), { recursive: true });
    await Deno.mkdir(join(dir, "home/models/run/old"), { recursive: true });
    const home = await fetchFromStorage([join(dir, "none"), join(dir, "b/models")], join(dir, "home"));
    assert.equal(home, join(dir, "home/models"));
    assert.deepEqual(names(home!), ["run", "run-2"]);
    assert.equal(await fetchFromStorage([home!], join(dir, "home")), home);
    assert.deepEqual(names(home!), ["run", "run-2"]);
    assert.equal(await fetchFromStorage([join(dir, "none")], join(dir, "home")), undefined);
  }));

Deno.test("results: a link among the runs on shared storage does not bring what it leads to", () =>
  withPlan(async (_plan, dir) => {
    await Deno.mkdir(join(dir, "b/models"), { recursive: true });
    await Deno.symlink(join(dir, "a"), join(dir, "b/models/run"));
    await fetchFromStorage([join(dir, "b/models")], join(dir, "home")).catch(() => {});
    assert.ok(!(await Deno.stat(join(dir, "home/models/run")).then(() => true, () => false)));
  }));

Deno.test("results: an archive's runs go to models/, other files as they are", () =>
  withPlan(async (_plan, dir) => {
    await Deno.writeFile(join(dir, "b/trained.zip"), await zipOf({ "run/best.ckpt": "w" }));
    await Deno.writeTextFile(join(dir, "b/predictions.slp"), "p");
    const files = [join(dir, "b/predictions.slp"), join(dir, "b/trained.zip")];
    const out = join(dir, "home");
    assert.equal(
      await fetchFromInbox({ files, folders: [] }, join(dir, "b"), out, SIGNAL),
      join(out, "models"),
    );
    assert.deepEqual(names(out), ["models", "out.zip", "predictions.slp"]);
    assert.deepEqual(names(join(out, "models/run")), ["best.ckpt"]);
    assert.equal(await fetchFromInbox({ files: [], folders: [] }, join(dir, "b"), out, SIGNAL), undefined);
  }));

for (const name of ["../evil", "/evil", "a/../../evil", "a\\..\\evil", "C:evil"]) {
  Deno.test(`results: an archive with ${name} is refused and writes nothing at home`, () =>
    withPlan(async (_plan, dir) => {
      const path = join(dir, "b/trained.zip");
      await Deno.writeFile(path, await zipOf({ "run/x": "", [name]: "" }));
      await assert.rejects(
        fetchFromInbox({ files: [path], folders: [] }, join(dir, "b"), join(dir, "home"), SIGNAL),
        /could not be unpacked: File corrupted/,
      );
      const home = names(join(dir, "home"));
      assert.equal(home.length, 2);
      assert.match(home[0]!, /^[0-9a-f]{8}-trained\.zip$/);
      assert.deepEqual(names(dir), ["a", "b", "home"]);
    }));
}
