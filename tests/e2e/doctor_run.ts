/** Runs `doctor` as a process, and reads what it found. */
import assert from "node:assert/strict";
import type { Finding, Status } from "../../config/checkup.ts";
import { fromSource, LabProcess, type ProcessOptions } from "../../scripts/local_lab.ts";

/** How a `doctor` ended. */
export interface DoctorRun {
  code: number;
  findings: readonly Finding[];
  /** Counts by status, as it told them. */
  summary: { ok: number; warnings: number; failures: number };
  /** All output, for messages. */
  output: string;
  /** The finding about something whose detail matches; fails when there is none. */
  find(what: RegExp, detail?: RegExp): Finding;
}

/** Runs the `doctor` of a program with `--json`; `config` is the path of its file. */
export async function runDoctor(
  program: "client" | "worker",
  config: string,
  args: readonly string[],
  options: ProcessOptions = {},
): Promise<DoctorRun> {
  const command = [...fromSource(`${program}/main.ts`), "doctor", "--config", config, "--json", ...args];
  return await doctorRun(new LabProcess(command, options));
}

/** Waits for the end of a `doctor --json`. */
export async function doctorRun(process: LabProcess): Promise<DoctorRun> {
  const code = await process.exited();
  const lines = process.stdout.map((line) => JSON.parse(line));
  const summary = lines.at(-1);
  assert.equal(summary?.event, "summary", process.output);
  const findings: Finding[] = lines.filter(({ event }) => event === "finding");
  const count = (status: Status): number => findings.filter((each) => each.status === status).length;
  const { ok, warnings, failures } = summary;
  assert.deepEqual([ok, warnings, failures], [count("ok"), count("warning"), count("failure")]);
  return {
    code,
    findings,
    summary,
    output: process.output,
    find(what, detail = /(?:)/): Finding {
      const found = findings.find((each) => what.test(each.what) && detail.test(each.detail));
      assert.ok(found, `nothing like ${what} ${detail} in:\n${process.output}`);
      return found;
    },
  };
}
