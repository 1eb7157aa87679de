/** The sandboxed part of the worker: all that listens to the network runs in here (DESIGN.md, decision 3). */
import { configureLog } from "../config/log.ts";
import { errorText, UserError } from "../config/user_error.ts";
import { closeLibrary } from "../rtc/peer.ts";
import type { FromEngine, ToEngine } from "./engine_messages.ts";
import { type ProbePlan, probeSandbox } from "./probe.ts";
import { WorkerServer } from "./server.ts";

/** What of a Web Worker's global scope is used; the type checker knows only the window's. */
interface WorkerScope {
  postMessage(message: FromEngine): void;
  onmessage: ((event: MessageEvent<ToEngine>) => void) | null;
}

const scope = globalThis as unknown as WorkerScope;
let server: WorkerServer | undefined;

scope.onmessage = ({ data }) => {
  if (data.type === "start") void start(data);
  else if (data.type === "drain") void server?.drain();
  else if (data.type === "probe") void probe(data.plan);
  else void server?.stop();
};

async function start({ settings }: Extract<ToEngine, { type: "start" }>): Promise<void> {
  await configureLog(settings.log);
  server = new WorkerServer(settings, (message) => scope.postMessage(message));
  try {
    await server.run();
    scope.postMessage({ type: "stopped" });
  } catch (error) {
    const known = error instanceof UserError ? error : undefined;
    const told = { message: errorText(error), hint: known?.hint, exitCode: known?.exitCode ?? 1 };
    scope.postMessage({ type: "stopped", error: told });
  } finally {
    closeLibrary();
  }
}

/** Tries what the sandbox must refuse, in place of serving. */
async function probe(plan: ProbePlan): Promise<void> {
  scope.postMessage({ type: "probed", attempts: await probeSandbox(plan) });
}
