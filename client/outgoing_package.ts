import { createHash } from "node:crypto";
import { basename } from "node:path";
import type { OutgoingEntry, OutgoingFiles } from "../rtc/send_files.ts";
import { listFiles } from "../storage/tree.ts";

/** Folder of earlier results in a package that is a folder: it stays at home. */
const MODELS = "models/";

/** Whether a file of a folder package is sent. */
export function isOutgoing(name: string): boolean {
  return !name.startsWith(MODELS);
}

/**
 * A package as it is sent over a link: a file, or a folder file by file, without earlier results. Its key is the same
 * as long as the files are: made of their paths, sizes, times of change and numbers in the file system.
 * Throws `UserError` for links that cannot be followed, Deno's file errors.
 */
export async function outgoingPackage(path: string): Promise<OutgoingFiles> {
  const root = await Deno.realPath(path);
  const isFolder = (await Deno.stat(root)).isDirectory;
  const found = isFolder
    ? (await listFiles(root, "follow")).filter(({ name }) => isOutgoing(name))
    : [{ name: basename(path), path: root, size: (await Deno.stat(root)).size }];
  const key = createHash("sha256").update(JSON.stringify([root, isFolder]));
  const files: OutgoingEntry[] = [];
  for (const { name, path, size } of found) {
    const { mtime, ino, dev } = await Deno.stat(path);
    key.update(JSON.stringify([name, size, mtime?.getTime() ?? null, ino, dev]));
    files.push({ name, size, open: () => Deno.open(path, { read: true }) });
  }
  return { purpose: isFolder ? "folder" : "package", key: key.digest("hex"), files };
}
