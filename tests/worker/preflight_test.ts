import assert from "node:assert/strict";
import { join } from "node:path";
import { UserError } from "../../config/user_error.ts";
import { parseJson } from "../../protocol/parse_json.ts";
import { type PreflightReport, reportSchema } from "../../protocol/preflight.ts";
import { StorageConfig } from "../../storage/backend.ts";
import { preflightReport } from "../../worker/preflight.ts";
import { withTempDir } from "../examples/trainer_run.ts";
import { withSession } from "./session_lab.ts";

/** Two backends, one of them by a link and confined to users; and what must stay unknown. */
function withStorage(
  test: (dir: string, ask: (files: string[]) => Promise<PreflightReport>) => Promise<void>,
): Promise<void> {
  return withTempDir(async (made) => {
    const dir = await Deno.realPath(made);
    for (const folder of ["vast/alice", "vast/bob", "home", "outside", "vast2"]) {
      await Deno.mkdir(join(dir, folder), { recursive: true });
    }
    for (const file of ["vast/alice/a.mp4", "home/b.mp4", "outside/secret", "vast2/c.mp4", "vast/top.mp4"]) {
      await Deno.writeTextFile(join(dir, file), "");
    }
    await Deno.symlink(join(dir, "home"), join(dir, "mount"));
    await Deno.symlink(join(dir, "outside"), join(dir, "vast/alice/out"));
    await Deno.symlink(join(dir, "vast/alice"), join(dir, "vast/bob/alices"));
    const backends = new StorageConfig([
      { name: "vast", basePath: join(dir, "vast"), confineToUserSubdir: true },
      { name: "home", basePath: join(dir, "mount") },
      { name: "store", basePath: "s3://bucket" },
      { name: "gone", basePath: join(dir, "nowhere") },
    ]);
    await test(dir, async (files) => {
      const message = await preflightReport(JSON.stringify({ files }), backends, dir);
      assert.ok(message.type === "PREFLIGHT_REPORT");
      const report = parseJson(reportSchema, message.json);
      assert.ok(report, message.json);
      return report;
    });
  });
}

Deno.test("preflight: a worker says what is on its backends, by either spelling of their paths, and what is free", () =>
  withStorage(async (dir, ask) => {
    const asked: [path: string, there: boolean][] = [
      ["vast/alice/a.mp4", true],
      ["vast/top.mp4", true],
      ["vast/alice", true],
      ["mount/b.mp4", true],
      ["home/b.mp4", true],
      ["vast/alice/none.mp4", false],
      ["vast/carol/none.mp4", false],
      ["mount/none.mp4", false],
      ["vast/alice/a.mp4/x", false],
    ];
    const report = await ask(asked.map(([path]) => join(dir, path)));
    assert.deepEqual(report.files, asked.map(([, there]) => there));
    assert.ok(report.free !== null && report.free > 0);
  }));

Deno.test("preflight: nothing is said of what lies elsewhere, there or not", () =>
  withStorage(async (dir, ask) => {
    const report = await ask([
      join(dir, "outside/secret"),
      join(dir, "outside/none"),
      `${dir}/vast/../outside/secret`,
      `${dir}/vast/../outside/none`,
      `${dir}/vast/alice/../../../../../../etc/passwd`,
      join(dir, "vast/alice/out/secret"),
      join(dir, "vast/alice/out/none"),
      // Links of a confined user lead nowhere else.
      join(dir, "vast/bob/alices/a.mp4"),
      join(dir, "vast2/c.mp4"),
      join(dir, "vast"),
      join(dir, "nowhere/x"),
      "/etc/passwd",
      "vast/alice/a.mp4",
      "C:/a.mp4",
      "s3://bucket/x",
      "",
      "\0",
      "~/x",
    ]);
    assert.deepEqual(report.files, report.files.map(() => null));
  }));

Deno.test("preflight: a request that breaks the rules is refused", async () => {
  const backends = new StorageConfig([]);
  for (const json of ["", "[]", '{"files":[1]}', JSON.stringify({ files: Array(65).fill("/x") })]) {
    await assert.rejects(preflightReport(json, backends, "/"), UserError);
  }
});

Deno.test("preflight: a session answers, and goes on after a request that breaks the rules", () =>
  withSession(async ({ say, next, base }) => {
    await say("PREFLIGHT::{}");
    assert.match(await next(), /^JOB_FAILED::.*PREFLIGHT breaks the rules/);
    await say(`PREFLIGHT::${JSON.stringify({ files: [join(base, "alice/none"), "/etc"] })}`);
    assert.match(await next(), /^PREFLIGHT_REPORT::\{"files":\[false,null\],"free":\d+\}$/);
  }));
