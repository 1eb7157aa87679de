/** Copies whole trees, many files at a time; they appear under their name at once. */
import { join } from "node:path";
import { UserError } from "../config/user_error.ts";
import { flushFolder, isInside } from "./containment.ts";
import { copyContent } from "./copy_content.ts";
import { createPartial, uniquePartial } from "./partial.ts";
import { copyTimeLimit, supervise, type Watch } from "./supervise.ts";

/** Files copied at a time: small ones wait for the disk most of the time. */
const PARALLEL = 8;

/** Files and bytes of a tree. */
export interface TreeSize {
  files: number;
  bytes: number;
}

/**
 * Copies a file or a folder to a new name in an existing folder; it appears whole or not at all, and nothing is
 * overwritten: where the name is taken, it gets the first free of `name-2`, `name-3`, …. Links to files inside the
 * source become those files; other links and special files are left out. Returns the path it got, and its size.
 * Throws `CopyTimeoutError` when nothing moves any more, `SourceChangedError`, `DiskFullError`, the abort reason,
 * Deno's file errors; nothing is left then.
 */
export async function publish(
  source: string,
  folder: string,
  name: string,
  signal?: AbortSignal,
): Promise<TreeSize & { path: string }> {
  const temporary = uniquePartial(folder);
  // How much there is shows on the way; as long as anything moves, the limit does not matter.
  return await supervise({ limitMs: copyTimeLimit(0) * 1000, signal }, async (watch) => {
    try {
      const size = await copyTree(await Deno.realPath(source), temporary, watch);
      watch.check();
      const path = await renameFree(temporary, folder, name);
      await flushFolder(folder);
      return { ...size, path };
    } catch (error) {
      await Deno.remove(temporary, { recursive: true }).catch((failure: unknown) => {
        if (!(failure instanceof Deno.errors.NotFound)) throw failure;
      });
      throw error;
    }
  });
}

/**
 * Publishes each entry of a folder under its name in another. Links are left out, whatever they lead to: what stands in
 * a results folder was put there by a job. Returns what was written, and which name got which path. Throws as {@link publish}.
 */
export async function publishContents(
  source: string,
  folder: string,
  signal?: AbortSignal,
): Promise<TreeSize & { paths: string[]; entries: { name: string; path: string }[] }> {
  const published = {
    files: 0,
    bytes: 0,
    paths: [] as string[],
    entries: [] as { name: string; path: string }[],
  };
  for await (const { name, isSymlink } of Deno.readDir(source)) {
    if (isSymlink) continue;
    const { path, files, bytes } = await publish(join(source, name), folder, name, signal);
    published.files += files;
    published.bytes += bytes;
    published.paths.push(path);
    published.entries.push({ name, path });
  }
  return published;
}

/** A file of a tree: where it is, and where it goes. */
interface Leaf {
  from: string;
  to: string;
}

async function copyTree(root: string, target: string, watch: Watch): Promise<TreeSize> {
  const size = { files: 0, bytes: 0 };
  const folders: string[] = [];
  const leaves = walk(root, target, root, folders, watch);
  // One generator feeds all of them; a failure in one ends it for the others.
  const work = async (): Promise<void> => {
    for await (const { from, to } of leaves) {
      const bytes = await copyLeaf(from, to, watch);
      size.bytes += bytes;
      size.files += 1;
    }
  };
  const ends = await Promise.allSettled(Array.from({ length: PARALLEL }, work));
  for (const end of ends) if (end.status === "rejected") throw end.reason;
  await Promise.all(folders.map(flushFolder));
  return size;
}

/** The files of a tree; folders are made, and listed, on the way. */
async function* walk(
  source: string,
  target: string,
  root: string,
  folders: string[],
  watch: Watch,
): AsyncGenerator<Leaf> {
  watch.check();
  const real = await followLink(source);
  if (real === undefined) return;
  const { isDirectory, isFile } = await Deno.lstat(real);
  watch.advance();
  if (isFile && isInside(real, root)) {
    yield { from: real, to: target };
  } else if (isDirectory && real === source) {
    await Deno.mkdir(target);
    folders.push(target);
    for await (const { name } of Deno.readDir(source)) {
      yield* walk(join(source, name), join(target, name), root, folders, watch);
    }
  }
}

/** The true path; undefined for a link that leads nowhere or in a circle. */
async function followLink(path: string): Promise<string | undefined> {
  try {
    return await Deno.realPath(path);
  } catch (error) {
    if ((await Deno.lstat(path)).isSymlink) return undefined;
    throw error;
  }
}

/** Copies one file to a new name and returns its size in bytes. */
async function copyLeaf(source: string, target: string, watch: Watch): Promise<number> {
  using from = await Deno.open(source, { read: true });
  const info = await from.stat();
  using to = (await createPartial(target)).file;
  await copyContent({ source, from, info, target, to, offset: undefined }, watch);
  watch.advance();
  return info.size;
}

/** Gives something the first free name of `name`, `name-2`, …. */
async function renameFree(temporary: string, folder: string, name: string): Promise<string> {
  const give = await claimer(temporary);
  for (let attempt = 1; attempt <= 10_000; attempt++) {
    const path = join(folder, attempt === 1 ? name : `${name}-${attempt}`);
    if (await exists(path)) continue;
    try {
      await give(path);
      return path;
    } catch (error) {
      if (!(await exists(path))) throw error;
    }
  }
  throw new UserError(`${join(folder, name)} exists, and so do 9,999 numbered names beside it`, {
    code: "FILE_EXISTS",
  });
}

/** How something gets a name, and fails when another has just taken it. */
async function claimer(temporary: string): Promise<(path: string) => Promise<void>> {
  const { isDirectory } = await Deno.lstat(temporary);
  // A rename onto a folder that holds something fails by itself; one onto an empty folder or a file replaces it.
  if (isDirectory && !(await isEmpty(temporary))) return (path) => Deno.rename(temporary, path);
  return async (path) => {
    if (isDirectory) await Deno.mkdir(path);
    else if (!(await linkTo(temporary, path))) return await Deno.rename(temporary, path);
    await Deno.remove(temporary);
  };
}

/** Gives a file a second name; false where the storage has no such thing. Throws when the name is taken. */
async function linkTo(from: string, to: string): Promise<boolean> {
  try {
    await Deno.link(from, to);
    return true;
  } catch (error) {
    if (error instanceof Deno.errors.AlreadyExists) throw error;
    return false;
  }
}

async function isEmpty(folder: string): Promise<boolean> {
  for await (const _ of Deno.readDir(folder)) return false;
  return true;
}

async function exists(path: string): Promise<boolean> {
  try {
    await Deno.lstat(path);
    return true;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return false;
    throw error;
  }
}
