/** The look into a package that `train` and `track` begin with: quiet when all is well. */
import { Conversation } from "../conversation.ts";
import type { Connection } from "../connect.ts";
import type { Screen } from "../screen.ts";
import { askWorker } from "./ask_worker.ts";
import type { PackageToCheck } from "./check.ts";
import { type Finding, findingText, PackageFaultsError } from "./finding.ts";
import type { Questions } from "./questions.ts";

/**
 * Looks into a package before anything is connected, and returns what the worker is to be asked. Warnings are shown.
 * Throws {@link PackageFaultsError} for one that cannot succeed, the abort reason.
 */
export async function preflight(
  given: PackageToCheck,
  screen: Screen,
  signal: AbortSignal,
): Promise<Questions> {
  // What reads archives is loaded by the commands that need it.
  const { checkContents } = await import("./check.ts");
  const { findings, questions } = await checkContents(given, signal);
  showOrThrow(findings, screen);
  return questions;
}

/**
 * Asks the worker before anything is sent. `isSent`: whether the package goes over the channel. Warnings are shown.
 * Throws {@link PackageFaultsError}, `WorkerLostError`, the abort reason.
 */
export async function preflightOnWorker(
  { pipe, features }: Pick<Connection, "pipe" | "features">,
  questions: Questions,
  isSent: boolean,
  screen: Screen,
  signal: AbortSignal,
): Promise<void> {
  const talk = { conversation: new Conversation(pipe), screen, signal };
  showOrThrow(await askWorker(talk, features, questions, isSent), screen);
}

function showOrThrow(findings: readonly Finding[], screen: Screen): void {
  for (const finding of findings.filter(({ level }) => level === "warning")) {
    const hint = finding.hint === undefined ? "" : ` (${finding.hint})`;
    screen.show({ event: "warning", text: findingText(finding) + hint });
  }
  const failures = findings.filter(({ level }) => level === "failure");
  if (failures.length > 0) throw new PackageFaultsError(failures);
}
