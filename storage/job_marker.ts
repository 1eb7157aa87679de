/**
 * Marks a job's folder as in use, so that nobody cleans it away. Whoever uses the folder, client or worker, holds a
 * file `.sleap-rtc-running` in it whose time of change is never old.
 */
import { join } from "node:path";

/** The marker's name. */
export const MARKER = ".sleap-rtc-running";
/** How often a holder refreshes it, in milliseconds. */
const REFRESH_MS = 30_000;
/** A marker this old, in milliseconds, was left by a holder that died. Generous: clocks of machines differ. */
const FORSAKEN_MS = 600_000;

/** A folder that is marked as in use. */
export interface HeldFolder {
  /** Takes the mark away, unless another holder has put its own in place; never throws, harmless when repeated. */
  release(): Promise<void>;
}

/**
 * Marks an existing folder as in use until released; refreshed every 30 s (`refreshMs`, for tests) by a timer that
 * keeps no program alive. Several may hold one folder. Throws Deno's file errors when it cannot be marked; a mark that
 * cannot be refreshed later is tried again at the next turn.
 */
export async function holdJobFolder(
  folder: string,
  { refreshMs = REFRESH_MS }: { refreshMs?: number } = {},
): Promise<HeldFolder> {
  const [path, id] = [join(folder, MARKER), crypto.randomUUID()];
  await place(path, id);
  let refreshing: Promise<void> = Promise.resolve();
  const timer = setInterval(() => void (refreshing = refreshing.then(() => refresh(path, id))), refreshMs);
  Deno.unrefTimer(timer);
  return {
    async release(): Promise<void> {
      clearInterval(timer);
      await refreshing;
      try {
        // The last to come has put its own name in; it takes the mark away.
        if (await Deno.readTextFile(path) === id) await Deno.remove(path);
      } catch {
        // Gone with its folder, or the mount is; an old mark holds nothing.
      }
    },
  };
}

/** Writes a mark of one's own. `createNew` never writes through a link that somebody planted. */
async function place(path: string, id: string): Promise<void> {
  for (let attempt = 1;; attempt++) {
    try {
      return await Deno.writeTextFile(path, id, { createNew: true });
    } catch (error) {
      if (!(error instanceof Deno.errors.AlreadyExists) || attempt === 5) throw error;
      await Deno.remove(path).catch(() => {});
    }
  }
}

/** Makes a mark young again; one that another holder took away on leaving is put back. */
async function refresh(path: string, id: string): Promise<void> {
  const now = new Date();
  try {
    await Deno.utime(path, now, now);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) await place(path, id).catch(() => {});
  }
}

/**
 * Whether somebody uses a folder at a moment (milliseconds since 1970): its marker is younger than 10 minutes. A
 * marker that cannot be looked at counts as one. Never throws.
 */
export async function isHeld(folder: string, now: number): Promise<boolean> {
  try {
    const { mtime } = await Deno.lstat(join(folder, MARKER));
    return !mtime || now - mtime.getTime() < FORSAKEN_MS;
  } catch (error) {
    return !(error instanceof Deno.errors.NotFound || error instanceof Deno.errors.NotADirectory);
  }
}
