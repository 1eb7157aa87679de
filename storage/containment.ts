/**
 * The one gate that turns text from outside into a path (DESIGN.md, decision 2): a lexical check, symlinks resolved
 * against the real root, and the identity of what was opened compared with what was checked.
 */
import { join, sep } from "node:path";
import { UserError } from "../config/user_error.ts";
import { liesAt, placesOf, sameFile } from "./identity.ts";
import { printable } from "../protocol/printable.ts";
import { PATH_CODES, PATH_TEXTS, type PathRefusal } from "../protocol/refusal.ts";

export type { PathRefusal };

/** Longest name of one path component, in UTF-8 bytes (NAME_MAX of the common file systems). */
const MAX_NAME_BYTES = 255;
/** Longest path, in UTF-8 bytes (PATH_MAX of Linux). */
const MAX_PATH_BYTES = 4096;
/** Names that Windows takes for devices, with or without an extension. */
const DEVICE = /^(con|prn|aux|nul|conin\$|conout\$|com[0-9¹²³]|lpt[0-9¹²³]) *([.:].*)?$/i;

/**
 * A path that may not be used. `message` is the text that travels after `PATH_ERROR::` (PROTOCOL.md section 17): it
 * holds the path as received, so that nothing about the disk leaks; `detail` is for this side's log only.
 */
export class PathValidationError extends UserError {
  readonly refusal: PathRefusal;
  /** The path as it came. */
  readonly received: string;
  /** What was found, with absolute paths; never sent. */
  readonly detail: string;

  constructor(refusal: PathRefusal, received: string, detail: string, cause?: unknown) {
    super(`${PATH_TEXTS[refusal]}: ${printable(received)}`, { code: PATH_CODES[refusal], cause });
    this.refusal = refusal;
    this.received = received;
    this.detail = detail;
  }
}

/** Whether a text has more than so many UTF-8 bytes; a character has three at most for each of its code units. */
function isLonger(text: string, bytes: number): boolean {
  return text.length * 3 > bytes && new TextEncoder().encode(text).length > bytes;
}

/** Why one component of a path is not acceptable; undefined when it is. */
function badComponent(name: string): string | undefined {
  if (name === "..") return "it has a parent step";
  if (/^[A-Za-z]:/.test(name)) return "it has a drive letter";
  if (/^[. ]+$/.test(name)) return "a component is only dots and blanks";
  if (new TextEncoder().encode(name).length > MAX_NAME_BYTES) {
    return `a component is over ${MAX_NAME_BYTES} bytes`;
  }
  if (DEVICE.test(name)) return "a component is a Windows device name";
  // What a file system that folds compatibility forms (HFS+, SMB servers) would make of it must be harmless as well.
  const folded = /^[\x20-\x7e]*$/.test(name) ? name : name.normalize("NFKC");
  if (folded !== name && (folded === ".." || /[\\/]/.test(folded) || /^[. ]+$/.test(folded))) {
    return "a component folds to a step or a separator";
  }
  if (/%(2e|2f|5c|00)/i.test(name)) return "it has a percent-encoded step or separator";
  return undefined;
}

/** Why a relative path is not acceptable as text; undefined when it is. */
function lexicalFault(text: string): string | undefined {
  // NUL ends a C string, other control characters forge log lines, invisible ones hide what a name says.
  if (/[\p{Cc}\p{Zl}\p{Zp}]/u.test(text)) return "it has a control character";
  if (!text.isWellFormed()) return "it is not well-formed Unicode";
  if (/\p{Cf}/u.test(text)) return "it has an invisible character";
  if (/^[\\/]/.test(text)) return "it is absolute";
  if (text.includes("\\")) return "it has a backslash";
  if (isLonger(text, MAX_PATH_BYTES)) return `it is over ${MAX_PATH_BYTES} bytes`;
  return undefined;
}

/**
 * The components of a relative path from outside; `""` and `"."` have none. Lexical only, touches no disk.
 * Throws {@link PathValidationError} (`outside`).
 */
export function checkRelativePath(text: string, received: string = text): string[] {
  const fault = lexicalFault(text);
  if (fault) throw new PathValidationError("outside", received, fault);
  const components = text.split("/").filter((name) => name !== "" && name !== ".");
  for (const name of components) {
    const bad = badComponent(name);
    if (bad) throw new PathValidationError("outside", received, bad);
  }
  return components;
}

/** Whether a path is the root or lies below it; both absolute and free of links. `/vast2` is not inside `/vast`. */
export function isInside(path: string, root: string): boolean {
  return path === root || path.startsWith(root.endsWith(sep) ? root : root + sep);
}

/** A root's true path is looked up again after so long, in milliseconds. */
const ROOT_TTL_MS = 1_000;
/** Roots remembered at most; there are as many as backends, and a few scratch folders. */
const MAX_ROOTS = 20_000;
const roots = new Map<string, { path: string; until: number }>();

/**
 * The root's true path, remembered for a second: a root that is swapped meanwhile makes paths be refused, never
 * escape, since they are looked up below the path remembered. Throws {@link PathValidationError} (`missing`).
 */
async function realRoot(root: string, received: string): Promise<string> {
  const now = performance.now();
  const known = roots.get(root);
  if (known && known.until > now) return known.path;
  try {
    const path = await Deno.realPath(root);
    if (roots.size >= MAX_ROOTS) roots.clear();
    roots.set(root, { path, until: now + ROOT_TTL_MS });
    return path;
  } catch (error) {
    roots.delete(root);
    throw new PathValidationError("missing", received, `the base path ${root} is not there`, error);
  }
}

function refuse(error: unknown, received: string, path: string): PathValidationError {
  if (error instanceof PathValidationError) return error;
  const denied = error instanceof Deno.errors.PermissionDenied || error instanceof Deno.errors.NotCapable;
  return new PathValidationError(denied ? "denied" : "missing", received, `${path}: ${String(error)}`, error);
}

/**
 * The true path of something that exists, all links resolved, and inside the root.
 * Throws {@link PathValidationError}: `outside` before `missing`, so that nothing outside can be probed.
 */
export async function resolveExisting(root: string, relative: string): Promise<string> {
  const components = checkRelativePath(relative);
  const base = await realRoot(root, relative);
  const { path, missing } = await deepestExisting(base, components, relative);
  if (missing.length > 0) {
    throw new PathValidationError("missing", relative, `${join(path, ...missing)} is not there`);
  }
  return path;
}

/**
 * Walks from the root as far as the components exist, resolving links, and returns the true path of the deepest
 * that exists with the rest. Throws {@link PathValidationError} (`outside`) when it lies outside or is a link that
 * cannot be followed, before anything is said about what is there.
 */
async function deepestExisting(
  base: string,
  components: readonly string[],
  received: string,
): Promise<{ path: string; missing: readonly string[] }> {
  let failure: unknown;
  for (let depth = components.length; depth >= 0; depth--) {
    const candidate = join(base, ...components.slice(0, depth));
    let path: string;
    try {
      path = await Deno.realPath(candidate);
    } catch (error) {
      // What it means is found out below the deepest folder that is known to be inside.
      failure = error;
      continue;
    }
    if (!isInside(path, base)) {
      throw new PathValidationError("outside", received, `${candidate} leads to ${path}, outside ${base}`);
    }
    const missing = components.slice(depth);
    if (missing.length > 0) await checkMissing(join(path, missing[0]!), received, failure);
    return { path, missing };
  }
  throw new PathValidationError("missing", received, `${base} is not there`);
}

/** Throws unless a path, in a folder that is inside, could not be followed because nothing, or a plain file, is there. */
async function checkMissing(path: string, received: string, failure: unknown): Promise<void> {
  let info: Deno.FileInfo;
  try {
    info = await Deno.lstat(path);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound || error instanceof Deno.errors.NotADirectory) return;
    throw refuse(error, received, path);
  }
  // Dangling, circular, or leading to where this process may not look: not ours to follow.
  if (info.isSymlink) {
    throw new PathValidationError("outside", received, `${path} is a link that cannot be followed`);
  }
  // A folder may have been made meanwhile; or it is there and cannot be entered.
  if (failure instanceof Deno.errors.PermissionDenied || failure instanceof Deno.errors.NotCapable) {
    throw refuse(failure, received, path);
  }
}

/** An open file whose identity was checked. Close it. */
export interface OpenedFile {
  file: Deno.FsFile;
  /** Its true, absolute path. */
  path: string;
  info: Deno.FileInfo;
}

/**
 * Opens an existing regular file below the root for reading. A component swapped for a link between the check and
 * the opening is caught: the opened file must be the one that was checked, still at its true path.
 * Throws {@link PathValidationError}.
 */
export async function openInside(root: string, relative: string): Promise<OpenedFile> {
  const path = await resolveExisting(root, relative);
  let file: Deno.FsFile | undefined;
  try {
    const checked = await Deno.lstat(path);
    if (!checked.isFile) throw new PathValidationError("corrupt", relative, `${path} is not a file`);
    file = await Deno.open(path, { read: true });
    const info = await file.stat();
    if (!sameFile(info, checked) || !await liesAt(info, path)) {
      throw new PathValidationError("outside", relative, `${path} was replaced while it was opened`);
    }
    return { file, path, info };
  } catch (error) {
    file?.close();
    throw refuse(error, relative, path);
  }
}

/**
 * Makes the folders of a relative path below the root, each checked as it is made, and returns the true path of the
 * last. Folders that exist are used. Throws {@link PathValidationError}.
 */
export async function makeFolderInside(root: string, relative: string): Promise<string> {
  return await makeFolders(root, checkRelativePath(relative), relative);
}

async function makeFolders(root: string, components: readonly string[], received: string): Promise<string> {
  const base = await realRoot(root, received);
  const { path: deepest, missing } = await deepestExisting(base, components, received);
  let path = deepest;
  try {
    if (!(await Deno.lstat(path)).isDirectory) {
      throw new PathValidationError("outside", received, `${path} is a file, expected a folder`);
    }
    for (const name of missing) path = await makeOne(join(path, name), received);
    return path;
  } catch (error) {
    throw refuse(error, received, path);
  }
}

async function makeOne(path: string, received: string): Promise<string> {
  try {
    await Deno.mkdir(path);
  } catch (error) {
    if (!(error instanceof Deno.errors.AlreadyExists)) throw error;
  }
  const real = await Deno.realPath(path);
  if (real === path && (await Deno.lstat(path)).isDirectory) return path;
  throw new PathValidationError("outside", received, `${path} was replaced while it was made (now ${real})`);
}

/** A file being written under a temporary name; nothing is visible before {@link NewFile.commit}. */
export interface NewFile {
  file: Deno.FsFile;
  /** True path that it will have. */
  path: string;
  /** Flushes, closes and gives it its name, replacing what was there. */
  commit(): Promise<void>;
  /** Closes and removes it; harmless after commit. */
  discard(): Promise<void>;
}

/** True paths of folders below one root that were made and checked, by relative path. */
export type KnownFolders = Map<string, Promise<string>>;

function makeFoldersOnce(
  root: string,
  components: readonly string[],
  received: string,
  known: KnownFolders | undefined,
): Promise<string> {
  const relative = components.join("/");
  const folder = known?.get(relative) ?? makeFolders(root, components, received);
  known?.set(relative, folder);
  return folder;
}

/**
 * Begins a new file below the root, in folders that are made as needed. It is written under a temporary name in the
 * target's folder (DESIGN.md, decision 5). `durable: false` skips the flush to disk, for scratch files that a crash may
 * take. `knownFolders`, one for all calls with a root, spares making and checking the folders again; the file is
 * checked to lie in its folder all the same. Throws {@link PathValidationError}.
 */
export async function createInside(
  root: string,
  relative: string,
  { mode = 0o644, durable = true, knownFolders }: {
    mode?: number;
    durable?: boolean;
    knownFolders?: KnownFolders;
  } = {},
): Promise<NewFile> {
  const components = checkRelativePath(relative);
  const name = components.at(-1);
  if (name === undefined) throw new PathValidationError("outside", relative, "it names no file");
  const folder = await makeFoldersOnce(root, components.slice(0, -1), relative, knownFolders);
  const path = join(folder, name);
  const temporary = join(folder, `.partial-${crypto.randomUUID()}`);
  // `createNew` is O_EXCL: it fails on whatever stands there, links included.
  const file = await Deno.open(temporary, { write: true, createNew: true, mode });
  const info = await file.stat();
  if (!await liesAt(info, temporary)) {
    await removeStray(file, temporary);
    file.close();
    throw new PathValidationError("outside", relative, `${folder} was replaced while a file was made in it`);
  }
  let open = true;
  const close = (): void => {
    open = false;
    file.close();
  };
  return {
    file,
    path,
    async commit(): Promise<void> {
      if (durable) await file.sync();
      try {
        await Deno.rename(temporary, path);
        if (!await liesAt(info, path)) {
          throw new PathValidationError(
            "outside",
            relative,
            `${folder} was replaced while it was written to`,
          );
        }
      } catch (error) {
        await removeStray(file, temporary);
        close();
        throw error;
      }
      close();
    },
    async discard(): Promise<void> {
      if (!open) return;
      await removeStray(file, temporary);
      close();
    },
  };
}

/** Attempts at removing a file whose folder is swapped meanwhile. */
const REMOVALS = 1_000;

/**
 * Empties and removes the file that was made under a temporary name, by that name: nobody else's has it. Where its
 * folder is being swapped the name leads elsewhere at times; the open file tells when it is gone.
 */
async function removeStray(file: Deno.FsFile, temporary: string): Promise<void> {
  // Wherever it ends up, nothing of it is to be read there.
  await file.truncate(0).catch(() => {});
  for (let attempt = 0; attempt < REMOVALS; attempt++) {
    await Deno.remove(temporary).catch(() => {});
    // A mount that went away tells nothing more; the caller closes the file all the same.
    const info = await file.stat().catch(() => undefined);
    if (!info || info.nlink === 0) return;
    // A swap in the midst of a rename may have put it elsewhere; the kernel knows where.
    for (const place of placesOf(info)) {
      const there = await Deno.lstat(place).catch(() => undefined);
      if (there && sameFile(there, info)) await Deno.remove(place).catch(() => {});
    }
  }
}

/** Flushes a folder's entries to disk, so that a rename in it survives a crash. */
export async function flushFolder(path: string): Promise<void> {
  using folder = await Deno.open(path, { read: true });
  await folder.sync();
}
