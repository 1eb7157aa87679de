/** `--check-sandbox`: whether the engine's sandbox holds on this machine, tried by the engine itself. */
import { ExitCode } from "../config/program.ts";
import { UserError } from "../config/user_error.ts";
import { unpackAddon, UNPACKS_ADDON } from "../rtc/addon.ts";
import type { EngineSettings, FromEngine, ToEngine } from "./engine_messages.ts";
import { createEngine, grantPermissions } from "./launch.ts";
import type { EnginePermissions } from "./permissions.ts";
import { type Attempt, isAsExpected } from "./probe.ts";

/** The attempts together take milliseconds; one that hangs is an answer, too. */
const LIMIT_MS = 30_000;

/** Starts the engine with these permissions and lets it try. Throws {@link UserError} when it does not answer. */
export async function probeEngine(
  settings: EngineSettings,
  permissions: EnginePermissions,
): Promise<readonly Attempt[]> {
  const engine = createEngine(permissions);
  const { promise, resolve, reject } = Promise.withResolvers<readonly Attempt[]>();
  const fail = (reason: string): void =>
    reject(new UserError(`the sandbox cannot be checked: ${reason}`, { code: "SANDBOX_BROKEN" }));
  const timer = setTimeout(() => fail("the engine does not answer"), LIMIT_MS);
  engine.onmessage = ({ data }: MessageEvent<FromEngine>) => {
    if (data.type === "probed") resolve(data.attempts);
  };
  engine.onerror = (event) => {
    event.preventDefault();
    fail(event.message);
  };
  const { run } = permissions;
  const plan = { scratch: settings.scratch, programs: run === true ? [] : run };
  engine.postMessage({ type: "probe", plan } satisfies ToEngine);
  try {
    return await promise;
  } finally {
    clearTimeout(timer);
    engine.terminate();
  }
}

/** Tries, and tells on stdout; ends with exit code 1 when anything came out otherwise than it must. */
export async function reportSandbox(settings: EngineSettings): Promise<void> {
  const addon = UNPACKS_ADDON ? unpackAddon() : undefined;
  const permissions = await grantPermissions({ ...settings, addon: addon?.path });
  const attempts = await probeEngine(settings, permissions).finally(() => addon?.remove());
  const holds = attempts.every(isAsExpected);
  if (settings.log.json) console.log(JSON.stringify({ event: "sandbox", holds, attempts }));
  else console.log(attemptLines(attempts, holds));
  if (!holds) throw new ExitCode(1);
}

function attemptLines(attempts: readonly Attempt[], holds: boolean): string {
  const lines = attempts.map((attempt) =>
    `${isAsExpected(attempt) ? "ok  " : "FAIL"}  ${attempt.found.padEnd(8)}  ${attempt.what}`
  );
  return [...lines, holds ? "\nThe sandbox holds." : "\nThe sandbox does not hold."].join("\n");
}
