/** `results list`, `results fetch` and `results verify` of the client's command line. */
import type { Command } from "commander";
import { ExitCode } from "../config/program.ts";
import { sizeText } from "../config/progress.ts";
import { errorText } from "../config/user_error.ts";
import { askForJob } from "./attach.ts";
import { Conversation } from "./conversation.ts";
import { fetchedText } from "./event_text.ts";
import { fetchJob, filesOf } from "./fetch_job.ts";
import { type CommonFlags, interruptible, withRoomOptions } from "./flags.ts";
import { type Check, type FoundFile, hasSize, isWhole } from "./found_results.ts";
import { type Prepared, prepareForJob } from "./prepare_job.ts";
import { table } from "./screen.ts";
import { storedAt } from "./stored_at.ts";
import { withWorker } from "./with_worker.ts";

interface FetchFlags extends CommonFlags {
  into?: string;
  force?: boolean;
}

const GOES_ON = "the same command goes on with what came";

/** What is said of a file. */
type Where = NonNullable<FoundFile["where"]> | "object store" | "worker" | "gone";

const EXAMPLES = `
Examples:
  What a job has made, and where that lies:
    sleap-rtc-client results list job_1a2b3c4d
  Copy it to a folder, from shared storage or from the worker that kept it:
    sleap-rtc-client results fetch job_1a2b3c4d --into ~/models
  Is what came home what the job has made?
    sleap-rtc-client results verify job_1a2b3c4d`;

/** Adds the commands. Their actions throw `UserError`s; with `--json` one object a line, sizes in bytes. */
export function addResultsCommands(program: Command): void {
  const results = program.command("results").description("What jobs have made: list, fetch and verify it.")
    .addHelpText("after", EXAMPLES);
  const add = (name: string, description: string, example: string): Command =>
    withRoomOptions(
      results.command(name).argument("<job>", "its id, as `train` and `jobs` show it").description(
        description,
      ),
    ).addHelpText("after", `\nExamples:\n  sleap-rtc-client results ${example}`);
  add("list", "The files of a job: size, and where they lie.", "list job_1a2b3c4d --json").action(list);
  add(
    "fetch",
    "Copy the files of a job, from shared storage or from the worker that kept them; each is verified.",
    "fetch job_1a2b3c4d --into ~/models",
  )
    .option("--into <folder>", "where they go (default: where `train` was to put them)")
    .option("--force", "overwrite files that are others")
    .action(fetch);
  add(
    "verify",
    "Compare sizes and hashes with those that were recorded when the job ended; exit code 1 when one differs.",
    "verify job_1a2b3c4d",
  ).action(verify);
}

/** Runs something with the record of a job in which its files are known. */
async function withFiles(
  id: string,
  flags: CommonFlags,
  check: Check,
  body: (prepared: Prepared, files: FoundFile[], signal: AbortSignal) => Promise<void>,
): Promise<void> {
  const prepared = await prepareForJob(id, flags);
  await interruptible(prepared.screen, GOES_ON, async (signal) => {
    const { record, files } = await filesOf(prepared, check, signal);
    await body({ ...prepared, record }, files, signal);
  });
}

/** Where files are that this machine does not see. */
async function elsewhere({ record, room, config, screen }: Prepared, signal: AbortSignal): Promise<Where> {
  if (record.remote) return "object store";
  const { id } = record;
  const hasThem = await withWorker(room, config, screen, signal, async ({ pipe }) => {
    const conversation = new Conversation(pipe);
    return (await askForJob(conversation, { id, after: record.seen, results: false }, signal)).results;
  }).catch((error: unknown) => {
    signal.throwIfAborted();
    screen.show({ event: "warning", text: `its worker cannot be asked: ${errorText(error)}` });
    return false;
  });
  return hasThem ? "worker" : "gone";
}

function list(id: string, flags: CommonFlags): Promise<void> {
  return withFiles(id, flags, hasSize, async (prepared, files, signal) => {
    const far = files.some(({ where }) => where === null) ? await elsewhere(prepared, signal) : "gone";
    prepared.screen.close();
    const rows = await Promise.all(files.map(async ({ isGood, ...file }) => {
      const storage = file.path === null ? null : await storedAt(file.path, prepared.config);
      // The home of a job in place is shared storage.
      const where: Where = storage ? "storage" : file.where ?? far;
      return { ...file, where, storage, changed: !isGood && file.where !== null };
    }));
    if (flags.json) {
      for (const row of rows) console.log(JSON.stringify({ event: "file", ...row }));
      return;
    }
    const cells = rows.map(({ name, size, where, storage, path, changed }) => {
      const place = storage ? `${where} ${storage.backend}` : where;
      return [name, sizeText(size), changed ? `${place}, changed` : place, storage?.path ?? path ?? ""];
    });
    console.log(table([["FILE", "SIZE", "WHERE", "PATH"], ...cells]));
    console.log(`${files.length} files, ${sizeText(files.reduce((sum, { size }) => sum + size, 0))}`);
  });
}

async function fetch(id: string, flags: FetchFlags): Promise<void> {
  const prepared = await prepareForJob(id, flags);
  const { screen } = prepared;
  await interruptible(screen, GOES_ON, async (signal) => {
    const fetched = await fetchJob(prepared, flags, signal);
    screen.close();
    console.log(flags.json ? JSON.stringify(fetched) : fetchedText(fetched));
  });
}

function verify(id: string, flags: CommonFlags): Promise<void> {
  return withFiles(id, flags, isWhole, ({ screen }, files) => {
    let wrong = 0;
    screen.close();
    for (const file of files) {
      const state = file.isGood ? "ok" : file.path === null ? "missing" : "differs";
      if (state !== "ok") wrong++;
      if (flags.json) {
        console.log(JSON.stringify({ event: "checked", name: file.name, path: file.path, state }));
      } else if (state !== "ok" || !flags.quiet) {
        console.log(`${state === "ok" ? "ok  " : "FAIL"}  ${file.path ?? file.name}${note(state, id)}`);
      }
    }
    if (wrong > 0) throw new ExitCode(1);
    return Promise.resolve();
  });
}

function note(state: "ok" | "missing" | "differs", id: string): string {
  if (state === "missing") return `: not on this machine; see: sleap-rtc-client results list ${id}`;
  return state === "ok" ? "" : ": size or SHA-256 differs from what was recorded";
}
