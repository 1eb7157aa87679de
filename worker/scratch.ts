/** The folders of this machine that a worker works in: its own, and those that the next worker finds as well. */
import { getLogger } from "@logtape/logtape";
import { dirname, join } from "node:path";
import { ConfigError, errorText } from "../config/user_error.ts";
import { JOB_PREFIX } from "./jobs.ts";
import { SCRATCH_PREFIX } from "./recover.ts";

const logger = getLogger(["sleap-rtc", "worker"]);

/** A private folder for this worker, in `parent` or in the temporary folder. Throws {@link ConfigError}. */
export async function makeScratch(parent: string | undefined): Promise<string> {
  return await usable(parent, async () => {
    if (parent !== undefined) await Deno.mkdir(parent, { recursive: true });
    const dir = parent === undefined ? {} : { dir: parent };
    return await Deno.realPath(await Deno.makeTempDir({ ...dir, prefix: SCRATCH_PREFIX }));
  });
}

/** Removes the scratch folder, unless a job was cut off in it: what it made is for the next worker to find. */
export async function leaveScratch(scratch: string): Promise<void> {
  const names = (await Array.fromAsync(Deno.readDir(scratch))).map(({ name }) => name);
  if (!names.some((name) => name.startsWith(JOB_PREFIX))) await Deno.remove(scratch, { recursive: true });
}

/** Where {@link makeLasting} makes a folder of this name. */
export function lastingPath(name: string, parent: string | undefined, temporary: string): string {
  return parent === undefined
    ? join(temporary, `sleap-rtc-${name}-${Deno.uid() ?? "user"}`)
    : join(parent, name);
}

/**
 * A folder beside the scratch folders that the next worker of this user finds as well; `scratch` itself where its
 * name was taken by somebody else. Throws {@link ConfigError}.
 */
export async function makeLasting(
  name: string,
  parent: string | undefined,
  scratch: string,
): Promise<string> {
  const path = lastingPath(name, parent, dirname(scratch));
  return await usable(parent, async () => {
    await Deno.mkdir(path, { recursive: true, mode: 0o700 }).catch((error: unknown) => {
      if (!(error instanceof Deno.errors.AlreadyExists)) throw error;
    });
    const [info, own] = [await Deno.lstat(path), await Deno.stat(scratch)];
    if (info.isDirectory && info.uid === own.uid && ((info.mode ?? 0) & 0o077) === 0) {
      return await Deno.realPath(path);
    }
    logger.warn(`${path} is not this user's alone: what is left when this worker ends is lost`);
    const inside = join(scratch, name);
    await Deno.mkdir(inside, { mode: 0o700 });
    return inside;
  });
}

/** Says of what cannot be used what it was to be used for, and what to do. */
async function usable(parent: string | undefined, make: () => Promise<string>): Promise<string> {
  try {
    return await make();
  } catch (error) {
    const what = parent === undefined ? "the temporary folder" : `the scratch folder ${parent}`;
    throw new ConfigError(`cannot use ${what}: ${errorText(error)}`, {
      hint:
        "give --scratch, or scratch under [worker], a folder that this user may write to, with room for " +
        "what jobs unpack",
      cause: error,
    });
  }
}
