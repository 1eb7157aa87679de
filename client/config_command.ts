/** `config check`, `config show` and `config migrate` of the client's command line. */
import type { Command } from "commander";
import { withOutputFlags } from "../config/program.ts";
import { configCandidates } from "../config/file.ts";
import { type ConfigFlags, loadConfig } from "../config/load.ts";
import { type MigrateOptions, migrateSharedRoot } from "../config/migrate.ts";
import { explainConfig, type Setting } from "../config/settings.ts";
import { realSurroundings, type Surroundings } from "../config/surroundings.ts";

interface OutputFlags {
  json?: boolean;
  quiet?: boolean;
}

type ShowFlags = ConfigFlags & OutputFlags;

/** Values longer than this do not widen the column. */
const WIDEST_VALUE = 48;

const CHECK_EXAMPLES = `
Examples:
  The file and the variables that the programs would use here:
    sleap-rtc-client config check
  One file, before it is put in place:
    sleap-rtc-client config check lab.toml

Ends with exit code 0, or with 2 and every mistake as FILE:LINE:COLUMN: KEY: what was found, what was expected.`;

const SHOW_EXAMPLES = `
Examples:
  What counts on this machine, and why:
    sleap-rtc-client config show
  For a script:
    sleap-rtc-client config show --json | jq '.settings[] | select(.key == "signaling_http")'`;

const MIGRATE_EXAMPLES = `
Examples:
  From SHARED_STORAGE_ROOT to a file that means the same:
    sleap-rtc-client config migrate > sleap-rtc.toml
  SHARED_STORAGE_ROOT=/mnt/vast/alice becomes the backend vast at /mnt/vast and the user directory alice:
    sleap-rtc-client config migrate --name vast --user-dir > sleap-rtc.toml`;

/**
 * Adds `config check`, `config show` and `config migrate` to a program. Their actions throw
 * `UserError`s; what was asked for is on stdout, remarks are on stderr.
 * `surroundings` is asked when a command runs; replaced in tests.
 */
export function addConfigCommands(
  program: Command,
  surroundings: () => Surroundings = realSurroundings,
): Command {
  const config = program.command("config")
    .description("Check, show or migrate the settings.")
    .addHelpText("after", "\nExamples:\n  sleap-rtc-client config check\n  sleap-rtc-client config show");
  withOutputFlags(config.command("check"))
    .argument("[file]", "a configuration file (default: the one that counts here)")
    .description("Report every mistake of the configuration.")
    .addHelpText("after", CHECK_EXAMPLES)
    .action((file: string | undefined, flags: OutputFlags) => check(file, flags, surroundings()));
  withOutputFlags(config.command("show"))
    .description("Show each effective value and where it came from.")
    .option("--config <file>", "configuration file")
    .option("--shared-storage-root <folder>", "one shared folder; also SHARED_STORAGE_ROOT")
    .addHelpText("after", SHOW_EXAMPLES)
    .action((flags: ShowFlags) => show(flags, surroundings()));
  withOutputFlags(config.command("migrate"))
    .description("Print a configuration file that means the same as SHARED_STORAGE_ROOT.")
    .option("--user-dir", "the last folder of the path is a user's: make it [client] user_subdir")
    .option("--name <name>", 'name of the backend (default: "default")')
    .option("--shared-storage-root <folder>", "this folder instead of SHARED_STORAGE_ROOT")
    .addHelpText("after", MIGRATE_EXAMPLES)
    .action((options: MigrateOptions & OutputFlags) => migrate(options, surroundings()));
  return config;
}

function check(file: string | undefined, flags: OutputFlags, at: Surroundings): void {
  const config = loadConfig(file === undefined ? {} : { config: file }, at);
  if (flags.json) {
    return console.log(
      JSON.stringify({ event: "config", file: file ?? config.file ?? null, notices: config.notices }),
    );
  }
  if (!flags.quiet) remark(config.notices);
  const used = file ?? config.file ??
    `no configuration file (neither ${configCandidates(at).join(" nor ")})`;
  console.log(`${used}: no mistakes`);
}

function show({ json = false, quiet = false, ...flags }: ShowFlags, at: Surroundings): void {
  const { settings, notices } = explainConfig(flags, at);
  if (json) {
    // Unset values are told, not left out.
    const told = settings.map(({ key, value, source }) => ({ key, value: value ?? null, source }));
    console.log(JSON.stringify({ event: "settings", settings: told, notices }));
    return;
  }
  if (!quiet) remark(notices);
  console.log(settingsText(settings));
}

function migrate(
  { json = false, quiet = false, ...options }: MigrateOptions & OutputFlags,
  at: Surroundings,
): void {
  const { toml, hints } = migrateSharedRoot(options, at);
  if (json) return console.log(JSON.stringify({ event: "migration", toml: toml.trimEnd(), hints }));
  if (!quiet) { for (const hint of hints) console.error(`hint: ${hint}`); }
  console.log(toml.trimEnd());
}

function remark(notices: readonly string[]): void {
  for (const notice of notices) console.error(`note: ${notice}`);
}

/** Lines `key = value   # where it came from`, aligned. */
function settingsText(settings: readonly Setting[]): string {
  const shown = settings.map(({ key, value, source }) => ({
    key,
    value: value === undefined ? "(not set)" : JSON.stringify(value),
    source,
  }));
  const keyWidth = Math.max(...shown.map(({ key }) => key.length));
  const valueWidth = Math.min(WIDEST_VALUE, Math.max(...shown.map(({ value }) => value.length)));
  return shown.map(({ key, value, source }) =>
    `${key.padEnd(keyWidth)} = ${value.padEnd(valueWidth)}   # ${source}`
  ).join("\n");
}
