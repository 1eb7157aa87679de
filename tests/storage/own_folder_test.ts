import assert from "node:assert/strict";
import { join } from "node:path";
import { forsakenFolders, makeOwnFolder, removeForsakenFolders } from "../../storage/own_folder.ts";
import { listTree, withTempDir } from "./temp.ts";

const MODULE = new URL("../../storage/own_folder.ts", import.meta.url).href;

/** Makes a folder in another process, which then waits for its end; the path of the folder. */
async function elsewhere(parent: string): Promise<{ path: string; kill: () => Promise<void> }> {
  const code = `const { makeOwnFolder } = await import(${JSON.stringify(MODULE)});
    console.log((await makeOwnFolder(${JSON.stringify(parent)}, "own-")).path);
    setInterval(() => {}, 1000);`;
  const command = new Deno.Command(Deno.execPath(), { args: ["eval", code], stdout: "piped" });
  const child = command.spawn();
  const reader = child.stdout.pipeThrough(new TextDecoderStream()).getReader();
  const { value = "" } = await reader.read();
  return {
    path: value.trim(),
    kill: async (): Promise<void> => {
      child.kill("SIGKILL");
      await child.status;
      await reader.cancel();
    },
  };
}

async function found(parent: string): Promise<string[]> {
  return (await Array.fromAsync(forsakenFolders(parent, "own-", parent), ({ path }) => path)).toSorted();
}

Deno.test("own folders: one in use is left, one of a process that was killed is found and removed", () =>
  withTempDir(async (dir) => {
    const [living, killed] = [await elsewhere(dir), await elsewhere(dir)];
    const mine = await makeOwnFolder(dir, "own-");
    try {
      await Deno.writeTextFile(join(killed.path, "file"), "");
      await killed.kill();
      assert.deepEqual(await found(dir), [killed.path]);
      await removeForsakenFolders(dir, "own-", mine.path);
      await assert.rejects(Deno.stat(killed.path), Deno.errors.NotFound);
      await assert.rejects(Deno.stat(`${killed.path}.lock`), Deno.errors.NotFound);
      assert.ok((await Deno.stat(living.path)).isDirectory);
      assert.ok((await Deno.stat(mine.path)).isDirectory);
    } finally {
      await living.kill();
      await mine.release();
    }
  }));

Deno.test("own folders: a lock without a folder goes; links, other names, and new folders without a lock stay", () =>
  withTempDir(async (dir) => {
    await Deno.writeTextFile(join(dir, "own-1.lock"), "");
    await Deno.mkdir(join(dir, "own-new"));
    await Deno.mkdir(join(dir, "own-old"));
    const fourDaysAgo = Date.now() / 1000 - 4 * 24 * 3600;
    await Deno.utime(join(dir, "own-old"), fourDaysAgo, fourDaysAgo);
    await Deno.mkdir(join(dir, "other"));
    await Deno.symlink(join(dir, "other"), join(dir, "own-link"));
    await Deno.writeTextFile(join(dir, "own-linked.lock"), "");
    await Deno.symlink(join(dir, "other"), join(dir, "own-linked"));
    await removeForsakenFolders(dir, "own-", dir);
    assert.deepEqual(Object.keys(await listTree(dir)).toSorted(), [
      "other/",
      "own-link",
      "own-linked",
      "own-linked.lock",
      "own-new/",
    ]);
  }));

Deno.test("own folders: one that was let go is nobody's, and what is in it stays", () =>
  withTempDir(async (dir) => {
    const { path, release } = await makeOwnFolder(dir, "own-");
    await Deno.writeTextFile(join(path, "kept"), "text");
    await release();
    assert.deepEqual(Object.values(await listTree(dir)), ["", "text"]);
  }));

Deno.test("own folders: where nothing can be listed nothing is found, and nothing fails", () =>
  withTempDir(async (dir) => {
    await removeForsakenFolders(join(dir, "gone"), "own-", dir);
    await Deno.writeTextFile(join(dir, "file"), "");
    await removeForsakenFolders(join(dir, "file"), "own-", dir);
    const code = `const { removeForsakenFolders } = await import(${JSON.stringify(MODULE)});
      await removeForsakenFolders(${JSON.stringify(dir)}, "own-", ${JSON.stringify(join(dir, "file"))});`;
    const script = join(dir, "script.ts");
    await Deno.writeTextFile(script, code);
    const args = ["run", "--no-prompt", `--allow-read=${join(dir, "file")}`, script];
    const { success, stderr } = await new Deno.Command(Deno.execPath(), { args }).output();
    assert.ok(success, new TextDecoder().decode(stderr));
    assert.deepEqual(Object.keys(await listTree(dir)).toSorted(), ["file", "script.ts"]);
  }));
