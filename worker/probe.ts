/** Tries, from inside the engine, what its sandbox must refuse. Nothing that succeeds by mistake does harm. */
import { join } from "node:path";

/** What the launcher tells of this machine. */
export interface ProbePlan {
  /** Absolute folder that the engine may write to. */
  scratch: string;
  /** Job programs, absolute: the only programs that may be started, so another one is tried. */
  programs: readonly string[];
}

/** One thing that was tried. */
export interface Attempt {
  what: string;
  expected: "refused" | "possible";
  /** `refused` only when Deno's sandbox said no: a file that is not there, or closed by the system, proves nothing. */
  found: "refused" | "possible";
}

type Deed = () => unknown;

const isWindows = Deno.build.os === "windows";
const ROOT = isWindows ? "C:\\" : "/";
const SYSTEM_FILE = isWindows ? "C:\\Windows\\System32\\drivers\\etc\\hosts" : "/etc/passwd";
const SHELLS = isWindows ? ["C:\\Windows\\System32\\cmd.exe"] : ["/bin/sh", "/usr/bin/env"];
/** Nothing listens there, so that an attempt ends at once; of the ports below, `fetch` refuses some by itself. */
const NO_SERVER = { hostname: "127.0.0.1", port: 2 };

/** Tries everything, one after the other. Never throws. */
export async function probeSandbox(plan: ProbePlan): Promise<Attempt[]> {
  const attempts: Attempt[] = [];
  for (const [what, deed] of Object.entries(forbidden(plan))) {
    attempts.push({ what, expected: "refused", found: await outcome(deed) });
  }
  // A sandbox that refuses everything would prove nothing.
  const found = await outcome(() => writeAndRemove(plan.scratch));
  attempts.push({ what: "write a file in the scratch folder", expected: "possible", found });
  return attempts;
}

/** Whether an attempt came out as it must. */
export function isAsExpected({ expected, found }: Attempt): boolean {
  return expected === found;
}

async function outcome(deed: Deed): Promise<Attempt["found"]> {
  try {
    await deed();
  } catch (error) {
    if (error instanceof Deno.errors.NotCapable) return "refused";
  }
  return "possible";
}

function forbidden({ scratch, programs }: ProbePlan): Record<string, Deed> {
  const program = SHELLS.find((path) => !programs.includes(path)) ?? SHELLS[0]!;
  return {
    [`read ${SYSTEM_FILE}`]: () => Deno.readTextFile(SYSTEM_FILE),
    [`list ${ROOT}`]: () => Array.fromAsync(Deno.readDir(ROOT)),
    [`write a file in ${ROOT}`]: () => writeAndRemove(ROOT),
    "make a link that leads out of the scratch folder": () => linkAndRemove(scratch),
    "connect to another host": async () => (await Deno.connect(NO_SERVER)).close(),
    "fetch from another host": async () => {
      await (await fetch(`http://${NO_SERVER.hostname}:${NO_SERVER.port}/`)).body?.cancel();
    },
    "listen to other machines": () => Deno.listen({ hostname: "0.0.0.0", port: 0 }).close(),
    // The engine may listen to trainers at free ports of this machine, and connect to none.
    "listen on a port of its choice": () => Deno.listen({ hostname: "127.0.0.1", port: 65_432 }).close(),
    [`start ${program}`]: () => new Deno.Command(program, { args: ["-c", ":"], stdin: "null" }).output(),
    "read an environment variable": () => Deno.env.get("PATH"),
    "read the whole environment": () => Deno.env.toObject(),
    "read the host name": () => Deno.hostname(),
    "load another native library": () => Deno.dlopen(join(scratch, "none.so"), {}).close(),
    "start an isolate with more rights": () =>
      new Worker("data:text/javascript,close()", {
        type: "module",
        deno: { permissions: { read: true, env: true } },
      }).terminate(),
    // One that continues what runs anyway.
    ...(isWindows ? {} : { "signal another process": () => Deno.kill(1, "SIGCONT") }),
  };
}

async function writeAndRemove(folder: string): Promise<void> {
  const path = join(folder, `sleap-rtc-check-${crypto.randomUUID()}`);
  await Deno.writeTextFile(path, "");
  await Deno.remove(path);
}

async function linkAndRemove(folder: string): Promise<void> {
  const path = join(folder, `sleap-rtc-check-${crypto.randomUUID()}`);
  await Deno.symlink(ROOT, path);
  await Deno.remove(path);
}
