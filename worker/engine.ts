/** The sandboxed part of the worker: all that listens to the network runs in here (DESIGN.md, decision 3). */
import { configureLog } from "../config/log.ts";
import { errorCode, errorText, UserError } from "../config/user_error.ts";
import { useAddon } from "../rtc/addon.ts";
import type { FromEngine, ToEngine } from "./engine_messages.ts";
import { type ProbePlan, probeSandbox } from "./probe.ts";
import type { WorkerServer } from "./server.ts";

/** What of a Web Worker's global scope is used; the type checker knows only the window's. */
interface WorkerScope {
  postMessage(message: FromEngine): void;
  onmessage: ((event: MessageEvent<ToEngine>) => void) | null;
}

const scope = globalThis as unknown as WorkerScope;
/** It takes a while to be loaded, and may be told to stop before. */
const { promise: serving, resolve: serve } = Promise.withResolvers<WorkerServer>();

scope.onmessage = ({ data }) => {
  if (data.type === "start") void start(data);
  else if (data.type === "drain") void serving.then((server) => server.drain());
  else if (data.type === "probe") void probe(data.plan);
  else void serving.then((server) => server.stop());
};

async function start({ settings }: Extract<ToEngine, { type: "start" }>): Promise<void> {
  await configureLog(settings.log);
  let endLibrary = (): void => {};
  try {
    // The native library comes with these, and only now is it known where it lies.
    if (settings.addon !== undefined) useAddon(settings.addon);
    const [{ WorkerServer }, { closeLibrary }] = await Promise.all([
      import("./server.ts"),
      import("../rtc/peer.ts"),
    ]);
    endLibrary = closeLibrary;
    scope.postMessage({ type: "loaded" });
    const server = new WorkerServer(settings, (message) => scope.postMessage(message));
    serve(server);
    await server.run();
    scope.postMessage({ type: "stopped" });
  } catch (error) {
    const hint = error instanceof UserError ? error.hint : undefined;
    const told = { message: errorText(error), hint, code: errorCode(error) };
    scope.postMessage({ type: "stopped", error: told });
  } finally {
    endLibrary();
  }
}

/** Tries what the sandbox must refuse, in place of serving. */
async function probe(plan: ProbePlan): Promise<void> {
  scope.postMessage({ type: "probed", attempts: await probeSandbox(plan) });
}
