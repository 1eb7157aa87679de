/** Helpers of the storage tests: temporary folders, trees in them, and what went wrong. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { type PathRefusal, PathValidationError } from "../../storage/containment.ts";

/** Calls `use` with the true path of a temporary folder, which is gone afterwards. */
export async function withTempDir<T>(use: (dir: string) => Promise<T> | T): Promise<T> {
  const dir = await Deno.realPath(await Deno.makeTempDir());
  try {
    return await use(dir);
  } finally {
    await Deno.remove(dir, { recursive: true });
  }
}

/** Makes files by relative path; a name that ends with `/` is a folder, a value `{ link }` a link. */
export async function makeTree(
  root: string,
  tree: Readonly<Record<string, string | { link: string }>>,
): Promise<void> {
  for (const [name, content] of Object.entries(tree)) {
    const path = join(root, name);
    await Deno.mkdir(name.endsWith("/") ? path : join(path, ".."), { recursive: true });
    if (name.endsWith("/")) continue;
    if (typeof content === "string") await Deno.writeTextFile(path, content);
    else await Deno.symlink(content.link, path);
  }
}

/** Everything below a folder: files with their text, folders as `name/`, links as `-> target`. Links are not followed. */
export async function listTree(root: string): Promise<Record<string, string>> {
  const found: Record<string, string> = {};
  const walk = async (folder: string, prefix: string): Promise<void> => {
    for await (const { name, isDirectory, isSymlink } of Deno.readDir(folder)) {
      const path = join(folder, name);
      if (isSymlink) found[`${prefix}${name}`] = `-> ${await Deno.readLink(path)}`;
      else if (isDirectory) {
        found[`${prefix}${name}/`] = "";
        await walk(path, `${prefix}${name}/`);
      } else found[`${prefix}${name}`] = await Deno.readTextFile(path);
    }
  };
  await walk(root, "");
  return found;
}

/** Checks that something is refused for this reason, and that what travels says nothing about the disk. */
export async function assertRefused(
  attempt: () => Promise<unknown>,
  refusal: PathRefusal,
  received?: string,
): Promise<void> {
  await assert.rejects(attempt, (error: unknown) => {
    assert.ok(error instanceof PathValidationError, `thrown: ${error}`);
    assert.equal(error.refusal, refusal, `${JSON.stringify(error.received)}: ${error.detail}`);
    if (received !== undefined) assert.equal(error.received, received);
    const root = Deno.makeTempDirSync();
    Deno.removeSync(root);
    const tempFolder = root.slice(0, root.lastIndexOf("/") + 1);
    if (!error.received.includes(tempFolder)) assert.ok(!error.message.includes(tempFolder), error.message);
    return true;
  });
}

/** The error that something ends with. */
export async function failureOf(attempt: () => Promise<unknown>): Promise<unknown> {
  try {
    await attempt();
  } catch (error) {
    return error;
  }
  assert.fail("it succeeded");
}
