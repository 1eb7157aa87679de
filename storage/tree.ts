/** The files below a folder. */
import { join } from "node:path";
import { UserError } from "../config/user_error.ts";
import { isInside } from "./containment.ts";

/** A file below a folder. */
export interface TreeFile {
  /** Relative, with `/`. */
  name: string;
  /** Absolute. */
  path: string;
  /** Bytes. */
  size: number;
}

/**
 * The files below a folder, by name. `links`: `"inside"` takes links to files inside the folder and leaves out others,
 * `"follow"` takes all links to files and throws `UserError` for those that lead to a folder or nowhere. Devices, pipes
 * and sockets are left out. Throws Deno's file errors.
 */
export async function listFiles(folder: string, links: "inside" | "follow"): Promise<TreeFile[]> {
  const root = await Deno.realPath(folder);
  const found: TreeFile[] = [];
  const visit = async (path: string, prefix: string): Promise<void> => {
    for await (const entry of Deno.readDir(path)) {
      const [name, full] = [`${prefix}${entry.name}`, join(path, entry.name)];
      if (entry.isDirectory) await visit(full, `${name}/`);
      else {
        const file = entry.isSymlink ? await followed(full, root, links) : full;
        const info = file === undefined ? undefined : await Deno.lstat(file);
        if (file !== undefined && info?.isFile) found.push({ name, path: file, size: info.size });
      }
    }
  };
  await visit(root, "");
  return found.sort((a, b) => a.name < b.name ? -1 : 1);
}

/** Where a link to a file leads; undefined when it is to be left out. */
async function followed(link: string, root: string, links: "inside" | "follow"): Promise<string | undefined> {
  const real = await Deno.realPath(link).catch(() => undefined);
  if (links === "inside") return real !== undefined && isInside(real, root) ? real : undefined;
  if (real !== undefined && (await Deno.stat(real)).isFile) return real;
  throw new UserError(`${link} is a link that leads ${real === undefined ? "nowhere" : "to a folder"}`, {
    code: "LINK_UNUSABLE",
    hint: "put the folder itself there, or take the link away",
  });
}
