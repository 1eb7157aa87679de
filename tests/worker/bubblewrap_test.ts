import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { ConfigError } from "../../config/user_error.ts";
import {
  type BubblewrapOptions,
  inSandbox,
  makeJobSandbox,
  statusFromSandbox,
} from "../../worker/bubblewrap.ts";
import { execute } from "../../worker/executor.ts";
import { findProgram } from "../../worker/host.ts";
import { bwrapRuns, killGroup, SKIPPED, waitUntilGone, waitUntilThere } from "../bubblewrap.ts";
import { withTempDir } from "../examples/trainer_run.ts";

/** A job's surroundings: its folder on a storage, its scratch folder, and a file of somebody else's. */
interface Place {
  base: string;
  folder: string;
  scratch: string;
  /** Runs a shell script in the sandbox; in the job's folder, and with it as the folder, unless told. */
  run: (
    script: string,
    where?: {
      folder?: string;
      program?: string;
      env?: Record<string, string>;
      signal?: AbortSignal;
      onOutput?: () => Promise<void>;
    },
  ) => Promise<{ status: number; output: string }>;
}

const ENVIRONMENT = { PATH: "/usr/bin:/bin", HOME: "/home/of-a-job" };

async function inPlace(
  test: (place: Place) => Promise<void>,
  extra: (base: string) => Partial<BubblewrapOptions> = () => ({}),
): Promise<void> {
  await withTempDir(async (made) => {
    const base = join(await Deno.realPath(made), "a storage's");
    const [folder, scratch] = [join(base, "alice/job"), join(base, "scratch")];
    await Deno.mkdir(folder, { recursive: true });
    await Deno.mkdir(scratch);
    await Deno.writeTextFile(join(base, "alice/other.txt"), "of another job");
    const bwrap = await findProgram("bwrap", "/");
    assert.ok(bwrap);
    const sandbox = await makeJobSandbox({
      bwrap,
      network: false,
      read: [],
      programs: ["/bin/bash"],
      environment: ENVIRONMENT,
      roots: [base],
      scratch,
      ...extra(base),
    });
    const run: Place["run"] = async (script, where = {}) => {
      const target = where.folder ?? folder;
      const command = inSandbox(sandbox.program, target, scratch, [
        where.program ?? "/bin/bash",
        "-c",
        script,
      ]);
      let output = "";
      const status = await execute(
        command,
        target,
        async (piece) => {
          output += piece;
          await where.onOutput?.();
        },
        where.signal ?? new AbortController().signal,
        { environment: { ...ENVIRONMENT, ...where.env }, killGroup },
      );
      return { status, output };
    };
    try {
      await test({ base, folder, scratch, run });
    } finally {
      await sandbox.remove();
    }
  });
}

/** A test of the real bubblewrap. */
function sandboxed(name: string, ...args: Parameters<typeof inPlace>): void {
  Deno.test({ name: `bubblewrap: ${name}${SKIPPED}`, ignore: !bwrapRuns, fn: () => inPlace(...args) });
}

sandboxed("a job writes to its own folders and nowhere else", async ({ base, folder, scratch, run }) => {
  const targets = [
    `${folder}/made`,
    `${scratch}/made`,
    `${base}/alice/made`,
    "/usr/made",
    "/etc/made",
    "/opt/made",
    "/dev/made",
    "/made",
  ];
  const { status, output } = await run(
    `pwd; for path in ${targets.map((path) => `"${path}"`).join(" ")}; do
       mkdir -p "$(dirname "$path")" 2>/dev/null; echo x 2>/dev/null >"$path" && echo "wrote $path"; done; true`,
  );
  assert.equal(status, 0);
  const lines = output.trim().split("\n");
  assert.equal(lines[0], folder);
  assert.deepEqual(lines.slice(1, 3), [`wrote ${folder}/made`, `wrote ${scratch}/made`]);
  // A temporary folder is memory, and gone with the job.
  for (const path of targets.slice(2)) {
    await assert.rejects(Deno.lstat(path), Deno.errors.NotFound, path);
  }
  for (const path of targets.slice(3)) assert.ok(!lines.includes(`wrote ${path}`), output);
  assert.equal(await Deno.readTextFile(join(folder, "made")), "x\n");
  assert.equal(
    (await run('for each in /tmp /dev/shm "$HOME"; do echo x >"$each/x" || exit 1; done')).status,
    0,
  );
});

sandboxed("a job sees the system, and of the storage only its own folder", async ({ base, run }) => {
  const { output } = await run(
    `ls /usr/bin/env; ls "${base}/alice"; cat "${base}/alice/other.txt"; ls -A "$HOME"`,
  );
  assert.match(output, /^\/usr\/bin\/env\njob\n/);
  assert.match(output, /other\.txt"?: No such file/);
  assert.doesNotMatch(output, /of another job|of-a-job/);
});

sandboxed("paths of sandbox_read are seen and cannot be written to", async ({ base, run }) => {
  const { output } = await run(`cat "${base}/alice/other.txt"; echo; echo x >"${base}/alice/other.txt"`);
  assert.match(output, /^of another job\n.*Read-only file system/s);
}, (base) => ({ read: [join(base, "alice")] }));

sandboxed("a job has no network", async ({ run }) => {
  using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const { port } = listener.addr as Deno.NetAddr;
  const { status, output } = await run(`tail -n +3 /proc/net/dev; exec 3<>/dev/tcp/127.0.0.1/${port}`);
  assert.notEqual(status, 0);
  assert.match(output, /^\s*lo:[^\n]*\n.*Connection refused/s);
});

sandboxed("sandbox_network gives a job the network", async ({ run }) => {
  using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const { port } = listener.addr as Deno.NetAddr;
  const accepted = listener.accept().then((connection) => connection.close());
  assert.equal((await run(`exec 3<>/dev/tcp/127.0.0.1/${port}`)).status, 0);
  await accepted;
}, () => ({ network: true }));

sandboxed("a job sees no process but its own", async ({ run }) => {
  const { output } = await run(
    `for each in /proc/[0-9]*; do basename "$each"; done; kill -0 ${Deno.pid} 2>&1; ls /dev | tr '\\n' ' '`,
  );
  assert.match(output, /^1\n2\n.*No such process\n/s);
  assert.ok(output.split("\n").filter((line) => /^\d+$/.test(line)).length <= 4, output);
  assert.doesNotMatch(output, /\b(sda|vda|loop0|mem|kmsg)\b/);
});

sandboxed("a job cannot gain rights or mount", async ({ run }) => {
  const { output, status } = await run(
    "mount -t tmpfs none /opt; grep NoNewPrivs /proc/self/status",
  );
  assert.equal(status, 0);
  assert.match(output, /(denied|not permitted|must be superuser)/);
  assert.match(output, /NoNewPrivs:\s+1/);
});

sandboxed(
  "SIGTERM reaches the program, which has time to save; nothing of what it started stays",
  async ({ run, folder }) => {
    const mark = `9${crypto.getRandomValues(new Uint32Array(1))[0]}`;
    const abort = new AbortController();
    const reason = new Error("enough");
    const ended = run(
      `trap 'sleep 0.5; echo saved >saved; exit 0' TERM
     (trap '' TERM; exec setsid sleep ${mark} >/dev/null 2>&1) &
     sleep ${mark}1 & echo started; wait`,
      { signal: abort.signal, onOutput: () => waitUntilThere(mark).finally(() => abort.abort(reason)) },
    );
    await assert.rejects(ended, reason);
    assert.equal(await Deno.readTextFile(join(folder, "saved")), "saved\n");
    await waitUntilGone(mark);
  },
);

sandboxed("a program that ignores SIGTERM is killed with all that it started", async ({ run }) => {
  const mark = `9${crypto.getRandomValues(new Uint32Array(1))[0]}`;
  const abort = new AbortController();
  const ended = run(`trap '' TERM; setsid sleep ${mark} & echo started; while :; do wait; sleep 0.1; done`, {
    signal: abort.signal,
    onOutput: () => waitUntilThere(mark).finally(() => abort.abort()),
  });
  await assert.rejects(ended, { name: "AbortError" });
  await waitUntilGone(mark);
});

sandboxed("the end of a program ends what it left running", async ({ run }) => {
  const mark = `9${crypto.getRandomValues(new Uint32Array(1))[0]}`;
  const { status } = await run(`setsid sleep ${mark} >/dev/null 2>&1 & exit 3`);
  assert.equal(status, 3);
  await waitUntilGone(mark);
});

sandboxed("a program ended by a signal is told as without a sandbox", async ({ run }) => {
  assert.equal(statusFromSandbox((await run("kill -SEGV $$")).status), -11);
  assert.equal(statusFromSandbox((await run("exit 7")).status), 7);
});

sandboxed(
  "nothing but the job programs is run, and only in folders of jobs",
  async ({ base, folder, run }) => {
    await Deno.symlink("/etc", join(base, "alice/link"));
    for (const wrong of ["/etc", join(base, "alice/link"), `${base}/../..`]) {
      const { status, output } = await run("echo ran", { folder: wrong });
      assert.equal(status, 126, output);
      assert.match(output, /is no folder of a job/);
    }
    const other = await run("echo ran", { folder, program: "/bin/cat" });
    assert.equal(other.status, 126);
    assert.match(other.output, /\/bin\/cat is no job program/);
    assert.equal((await run("echo ran", { folder })).output, "ran\n");
  },
);

sandboxed("variables cannot put functions into the sandbox's own script", async ({ run }) => {
  const body = "() { echo taken over >&2; builtin cd /; }";
  const { output } = await run("echo ran", { env: { "BASH_FUNC_cd%%": body, "BASH_FUNC_pwd%%": body } });
  assert.equal(output, "ran\n");
});

sandboxed("a program's virtual environment is seen, what lies beside it is not", async ({ base, run }) => {
  const { output } = await run(`cat "${base}/venv/lib.txt"; cat "${base}/alice/other.txt"`);
  assert.match(output, /^of the environment\n/);
  assert.match(output, /other\.txt"?: No such file/);
}, (base) => {
  const venv = join(base, "venv");
  Deno.mkdirSync(join(venv, "bin"), { recursive: true });
  Deno.writeTextFileSync(join(venv, "pyvenv.cfg"), "");
  Deno.writeTextFileSync(join(venv, "lib.txt"), "of the environment\n");
  Deno.writeTextFileSync(join(venv, "bin/tool"), "#!/bin/sh\n", { mode: 0o755 });
  return { programs: ["/bin/bash", join(venv, "bin/tool")] };
});

/** A device that bubblewrap does not provide by itself. */
const device = ["/dev/fuse", "/dev/net/tun", "/dev/loop-control"].find((path) => existsSync(path));

Deno.test({
  name: `bubblewrap: devices like the GPUs' can be used${
    SKIPPED || (device ? "" : " (skipped: no device here)")
  }`,
  ignore: !bwrapRuns || device === undefined,
  fn: async () => {
    const open = `test -c ${device} && exec 3<>${device}`;
    await inPlace(
      async ({ run }) => assert.equal((await run(open)).status, 0),
      () => ({ devices: `${device!.slice(0, -1)}*` }),
    );
    await inPlace(async ({ run }) => assert.notEqual((await run(open)).status, 0));
  },
});

Deno.test({
  name: `bubblewrap: a path of sandbox_read that is not there is a ConfigError that names it${SKIPPED}`,
  ignore: !bwrapRuns,
  fn: () =>
    assert.rejects(
      inPlace(() => Promise.resolve(), () => ({ read: ["/no/such/videos"] })),
      (error) => error instanceof ConfigError && /\/no\/such\/videos/.test(error.message),
    ),
});

Deno.test("bubblewrap that cannot run is a ConfigError with its own words, and leaves nothing behind", () =>
  withTempDir(async (made) => {
    const folder = await Deno.realPath(made);
    const bwrap = join(folder, "bwrap");
    await Deno.writeTextFile(bwrap, "#!/bin/sh\necho bwrap: no user namespaces here >&2\nexit 1\n", {
      mode: 0o755,
    });
    const options = {
      bwrap,
      network: false,
      read: [],
      programs: [],
      environment: {},
      roots: [folder],
      scratch: folder,
    };
    await assert.rejects(
      makeJobSandbox(options),
      (error) =>
        error instanceof ConfigError &&
        /cannot run jobs here: bwrap: no user namespaces here$/.test(error.message),
    );
  }));

Deno.test("the sandbox is not put where the engine may write", () =>
  withTempDir(async (scratch) => {
    const options = {
      bwrap: "/bin/true",
      network: false,
      read: [],
      programs: [],
      environment: {},
      roots: ["/"],
      scratch,
    };
    await assert.rejects(makeJobSandbox(options), /would lie on storage that the engine may write to/);
  }));
