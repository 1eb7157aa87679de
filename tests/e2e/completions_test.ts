import assert from "node:assert/strict";
import { join } from "node:path";
import { fromSource } from "../../scripts/local_lab.ts";
import { hasPty, Pty } from "../client/pty.ts";
import { withTempDir } from "../storage/temp.ts";

/** How each shell is started without anybody's settings, and made to read the script. */
const SHELLS = {
  bash: { start: "bash --norc --noprofile -i", read: 'eval "$(sleap-rtc-client completions bash)"' },
  zsh: {
    start: "zsh -f -i",
    read: 'autoload -U compinit; compinit -u -D; eval "$(sleap-rtc-client completions zsh)"',
  },
  fish: { start: "fish --no-config -i", read: "sleap-rtc-client completions fish | source" },
} as const;

async function has(program: string): Promise<boolean> {
  return await new Deno.Command(program, { args: ["--version"], stdout: "null" }).output().then(
    ({ success }) => success,
    () => false,
  );
}

/** A shell that knows the client by its name, in a folder with a package; a backend and a job are known. */
async function withShell(shell: keyof typeof SHELLS, body: (pty: Pty) => Promise<void>): Promise<void> {
  await withTempDir(async (dir) => {
    const program = join(dir, "sleap-rtc-client");
    const words = fromSource("client/main.ts").map((word) => `'${word}'`).join(" ");
    await Deno.writeTextFile(program, `#!/bin/sh\nexec ${words} "$@"\n`, { mode: 0o755 });
    await Deno.writeTextFile(join(dir, "training.zip"), "");
    await Deno.writeTextFile(join(dir, "sleap-rtc.toml"), '[storage.vast]\nbase_path = "/mnt/vast"\n');
    const jobs = join(dir, "jobs");
    await Deno.mkdir(jobs);
    await Deno.writeTextFile(join(jobs, "job_1a2b3c4d.json"), JSON.stringify(record(dir)));
    const env = {
      PATH: `${dir}:${Deno.env.get("PATH")}`,
      HOME: dir,
      PS1: "> ",
      SLEAP_RTC_JOBS_DIR: jobs,
      DENO_DIR: Deno.env.get("DENO_DIR") ?? join(Deno.env.get("HOME") ?? dir, ".cache/deno"),
    };
    const pty = new Pty(`sh -c 'cd ${dir}; exec ${SHELLS[shell].start}'`, { columns: 120, env });
    try {
      await pty.until(/[>#] ?$/);
      // Echoed by the shell, and so the answer must not be in the question.
      await pty.type(`${SHELLS[shell].read}; echo rea''dy\n`);
      await pty.until(/^ready/m);
      await body(pty);
    } finally {
      await pty.kill();
    }
  });
}

function record(dir: string): Record<string, unknown> {
  return {
    id: "job_1a2b3c4d",
    package: join(dir, "training.zip"),
    submitted: new Date().toISOString(),
    room_id: "r",
    token: "t",
    worker: "w",
    method: "rtc",
    output_dir: dir,
    result_folders: [],
    job_folder: null,
    remote: null,
    seen: 0,
    end: null,
  };
}

/** What is typed before the tabulator, and what the line becomes. */
const LINES: readonly [string, string][] = [
  ["results ver", "results verify "],
  ["results verify j", "results verify job_1a2b3c4d"],
  ["train --storage-backend v", "train --storage-backend vast"],
  ["train trai", "train training.zip"],
];

for (const shell of ["bash", "zsh", "fish"] as const) {
  const isThere = hasPty && await has(shell);
  Deno.test({
    name: `completions: ${shell} completes commands, flags, their values, jobs and files${
      isThere ? "" : ` (skipped: needs ${shell} and script of util-linux)`
    }`,
    ignore: !isThere,
    fn: () =>
      withShell(shell, async (pty) => {
        for (const [typed, becomes] of LINES) {
          await pty.type(`sleap-rtc-client ${typed}\t`);
          await pty.until(new RegExp(`sleap-rtc-client ${becomes.trimEnd()}`));
          // Ctrl-U: the next line begins anew.
          await pty.type("\x15");
        }
      }),
  });
}

Deno.test("completions: a shell that is not known is refused with those that are", async () => {
  const [program = "", ...args] = fromSource("client/main.ts");
  const { code, stderr } = await new Deno.Command(program, { args: [...args, "completions", "tcsh"] })
    .output();
  assert.equal(code, 2);
  assert.match(new TextDecoder().decode(stderr), /bash, zsh, fish/);
});
