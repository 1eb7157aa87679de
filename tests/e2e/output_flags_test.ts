/** Every command of the client, run with the flags that say how it tells what it does. */
import assert from "node:assert/strict";
import type { Command } from "commander";
import { join } from "node:path";
import { createCommand } from "../../client/main.ts";
import { fromSource, LabProcess } from "../../scripts/local_lab.ts";
import { commandsOf, wordsOf } from "../config/commands.ts";
import { clientConfig, packageIn, startWorker, type TestLab, withLab } from "./lab.ts";

/** What the calls are about. */
interface Scene {
  /** A package on the storage. */
  path: string;
  /** Flags that name the worker's room. */
  room: readonly string[];
  /** The id of a job that has ended. */
  job: string;
  /** A folder that is not there yet. */
  into: string;
}

/** Arguments of each command, by its name; the package is none to track, which is not looked at. */
const CALLS: Readonly<Record<string, (scene: Scene) => readonly string[]>> = {
  train: ({ path, room }) => [path, ...room],
  track: ({ path, room }) => [path, ...room, "--dry-run", "--no-preflight"],
  plan: ({ path, room }) => [path, ...room],
  workers: ({ room }) => room,
  doctor: ({ room }) => room,
  check: ({ path, room }) => [path, ...room],
  jobs: () => [],
  attach: ({ job }) => [job],
  logs: ({ job }) => [job],
  stop: ({ job }) => [job],
  cancel: ({ job }) => [job],
  "results list": ({ job }) => [job],
  "results fetch": ({ job, into }) => [job, "--into", into],
  "results verify": ({ job }) => [job],
  "storage ls": () => [],
  "storage du": () => [],
  "storage verify": () => [],
  "storage clean": () => ["--older-than", "14d"],
  "config check": () => [],
  "config show": () => [],
  "config migrate": () => ["--shared-storage-root", "."],
  "config suggest": ({ path, room }) => [path, ...room],
  completions: () => ["bash"],
};

/** The commands that do something, by all their words but the program's. */
function namesOf(program: Command): string[] {
  return commandsOf(program).filter(({ commands }) => commands.length === 0)
    .map((command) => wordsOf(command).slice(1).join(" "));
}

/** Where a client runs that finds its settings by itself, and one job has ended. */
async function sceneIn(test: TestLab): Promise<Scene> {
  const { session } = await startWorker(test);
  const path = await packageIn(join(test.clientMount, "alice"));
  await Deno.writeTextFile(join(test.home, "sleap-rtc.toml"), clientConfig(test));
  const room = ["--session-string", session];
  const { summary, stderr } = await test.lab.runClient(clientConfig(test), ["train", path, ...room]);
  assert.ok(summary, stderr);
  return { path, room, job: summary.job_id, into: join(test.folder, "fetched") };
}

async function run(test: TestLab, args: readonly string[]): Promise<LabProcess> {
  const process = new LabProcess([...fromSource("client/main.ts"), ...args], {
    env: test.lab.environment,
    cwd: test.home,
  });
  assert.equal(await process.exited(), 0, `${args.join(" ")}\n${process.output}`);
  return process;
}

Deno.test("every command of the client is called here", () => {
  assert.deepEqual(namesOf(createCommand()).toSorted(), Object.keys(CALLS).toSorted());
});

Deno.test("every command of the client tells it in JSON, says more when asked to, and on demand no more than its result", () =>
  withLab(async (test) => {
    const scene = await sceneIn(test);
    for (const [name, args] of Object.entries(CALLS)) {
      const call = [...name.split(" "), ...args(scene)];
      const told = await run(test, [...call, "--json", "--verbose"]);
      const events = told.stdout.map((line): unknown => JSON.parse(line).event);
      assert.ok(events.every((event) => typeof event === "string"), `${name}\n${told.output}`);
      assert.match(JSON.parse(told.stderr[0]!).text, /^sleap-rtc-client \d/, `${name}\n${told.output}`);
      const { stderr } = await run(test, [...call, "--quiet"]);
      assert.deepEqual(stderr.filter((line) => !line.startsWith("warning: ")), [], name);
    }
  }));
