/** Checks of what every program stands on: the runtime, its permissions, and the settings. */
import { type Check, type Finding, type Found, single } from "./checkup.ts";
import { type Config, type ConfigFlags, traceConfig, type TracedConfig } from "./load.ts";
import { ConfigFileError } from "./mistake.ts";
import type { PermissionFlags } from "./permissions.ts";
import { SECRET_KEY } from "./schema.ts";
import { errorText, UserError } from "./user_error.ts";
import { versionText } from "./version.ts";

/** The oldest Deno that this program is tried with, and the newest. */
const TRIED = { oldest: "2.5.0", newest: "2.9" };
/** These checks ask this process and one small file, in milliseconds. */
const LIMIT_MS = 5_000;

/** Version of the runtime, and the permissions that this process has of those it uses. */
export function runtimeChecks(program: string, flags: PermissionFlags): Check[] {
  return [
    single("runtime", LIMIT_MS, () => Promise.resolve(judgeVersion(program, Deno.version.deno))),
    single("permissions", LIMIT_MS, () => judgePermissions(flags)),
  ];
}

function judgeVersion(program: string, deno: string): Found {
  const detail = `${versionText(program)} on ${Deno.build.os} ${Deno.build.arch}`;
  const isOlder = (a: string, b: string): boolean => a.localeCompare(b, "en", { numeric: true }) < 0;
  if (isOlder(deno, TRIED.oldest)) {
    return { status: "failure", detail, hint: `Deno ${TRIED.oldest} or later is needed: deno upgrade` };
  }
  const release = deno.split(".").slice(0, 2).join(".");
  if (!isOlder(TRIED.newest, release)) return { detail };
  return { status: "warning", detail, hint: `not tried with a Deno later than ${TRIED.newest}` };
}

async function judgePermissions(flags: PermissionFlags): Promise<Found> {
  const missing = await Array.fromAsync(flags, async (flag) => await missingOf(flag));
  const lacking = missing.filter((flag) => flag !== undefined);
  if (lacking.length === 0) return { detail: `all: ${flags.join(" ")}` };
  return {
    status: "warning",
    detail: `not held, or only for some things: ${lacking.join(" ")}`,
    hint: `unless that is meant, give them: deno run ${lacking.join(" ")}`,
  };
}

/** What of a flag this process lacks, as a flag. */
async function missingOf(flag: string): Promise<string | undefined> {
  const [, name = "", kinds] = /^--allow-(\w+)(?:=(.*))?$/.exec(flag) ?? [];
  const holds = async (descriptor: object): Promise<boolean> =>
    (await Deno.permissions.query(descriptor as Deno.PermissionDescriptor)).state === "granted";
  if (kinds === undefined) return await holds({ name }) ? undefined : flag;
  const lacking = await Array.fromAsync(
    kinds.split(","),
    async (kind) => await holds({ name, kind }) ? [] : [kind],
  );
  return lacking.flat().length === 0 ? undefined : `--allow-${name}=${lacking.flat().join(",")}`;
}

/** The settings, and the findings about them; without settings when there are mistakes. */
export function examineSettings(flags: ConfigFlags): { config: Config | undefined; check: Check } {
  const what = "configuration";
  const check = (look: Check["look"]): Check => ({ what, limitMs: LIMIT_MS, look });
  try {
    const traced = traceConfig(flags);
    return { config: traced.config, check: check(() => settingsFindings(what, traced)) };
  } catch (error) {
    if (!(error instanceof UserError)) throw error;
    return { config: undefined, check: check(() => mistakeFindings(what, error)) };
  }
}

async function* mistakeFindings(what: string, error: UserError): AsyncGenerator<Finding> {
  const lines = error instanceof ConfigFileError ? error.message.split("\n") : [error.message];
  for (const [index, detail] of lines.entries()) {
    const isLast = index === lines.length - 1;
    const hint = error.hint ?? "mend the file; `config check` says when it is right";
    yield { what, status: "failure", detail, ...(isLast ? { hint } : {}) };
  }
}

async function* settingsFindings(
  what: string,
  { config, sources }: TracedConfig,
): AsyncGenerator<Finding> {
  const detail = `${config.file ?? "no file: defaults and environment"}; environment ${config.environment}`;
  yield { what, status: "ok", detail };
  for (const notice of config.notices) yield { what, status: "ok", detail: notice };
  const winning = [...sources].filter(([, source]) => source.startsWith("environment "))
    .map(([key, source]) => `${source.slice("environment ".length)} sets ${key}`);
  if (winning.length > 0) yield { what, status: "ok", detail: `${winning.join("; ")}` };
  if (config.roomSecret !== undefined) {
    yield await secretFinding(config, sources.get(`default.${SECRET_KEY}`) ?? "");
  }
}

/** A secret in a file that others can read is none. */
async function secretFinding({ file }: Config, source: string): Promise<Finding> {
  const what = "room secret";
  if (file === undefined || !source.startsWith("file ")) {
    return { what, status: "ok", detail: `set by ${source}` };
  }
  try {
    const mode = (await Deno.stat(file)).mode ?? 0;
    if ((mode & 0o077) === 0 || Deno.build.os === "windows") {
      return { what, status: "ok", detail: `${source}, which only you can read` };
    }
    const rights = (mode & 0o777).toString(8);
    return {
      what,
      status: "warning",
      detail: `${source} may be read by others (mode ${rights})`,
      hint: `chmod 600 ${file}`,
    };
  } catch (error) {
    return { what, status: "warning", detail: `cannot look at ${file}: ${errorText(error)}` };
  }
}
