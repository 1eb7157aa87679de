import assert from "node:assert/strict";
import { join } from "node:path";
import {
  createInside,
  flushFolder,
  makeFolderInside,
  openInside,
  resolveExisting,
} from "../../storage/containment.ts";
import { HOSTILE } from "./hostile.ts";
import { assertRefused, listTree, makeTree, withTempDir } from "./temp.ts";

Deno.test.sanitizer({ ops: true, resources: true });

/** A root with a neighbour whose name begins alike, and links of all kinds. */
function withRoot(use: (root: string, dir: string) => Promise<void>): Promise<void> {
  return withTempDir(async (dir) => {
    await makeTree(dir, {
      "vast/alice/pkg.zip": "package",
      "vast/alice/empty/": "",
      "vast/bob/file": "bob's",
      "vast2/secret": "secret",
      "vast2/folder/deep": "deep",
      "vast2/loop": { link: "loop" },
      "vast/in_file": { link: "alice/pkg.zip" },
      "vast/in_folder": { link: join(dir, "vast/alice") },
      "vast/out_file": { link: join(dir, "vast2/secret") },
      "vast/out_folder": { link: "../vast2" },
      "vast/out_root": { link: "/" },
      "vast/up": { link: ".." },
      "vast/dangling": { link: "nowhere" },
      "vast/dangling_out": { link: join(dir, "vast2/nowhere") },
      "vast/through_file": { link: "../vast2/secret/x" },
      "vast/loop": { link: "loop" },
      "vast/chain": { link: "chain2" },
      "vast/chain2": { link: "out_folder" },
      "vast/alice/back": { link: "../../vast/bob" },
      "mount": { link: "vast" },
    });
    await use(join(dir, "vast"), dir);
  });
}

const OPERATIONS: readonly [string, (root: string, relative: string) => Promise<unknown>][] = [
  ["resolveExisting", resolveExisting],
  ["openInside", openInside],
  ["makeFolderInside", makeFolderInside],
  ["createInside", createInside],
];

for (const [name, operation] of OPERATIONS) {
  Deno.test(`${name} refuses every hostile text and changes nothing`, () =>
    withRoot(async (root, dir) => {
      const before = await listTree(dir);
      for (const text of HOSTILE) await assertRefused(() => operation(root, text), "outside", text);
      assert.deepEqual(await listTree(dir), before);
    }));

  Deno.test(`${name} refuses what links lead to outside, and changes nothing`, () =>
    withRoot(async (root, dir) => {
      const before = await listTree(dir);
      for (
        const relative of [
          "out_file/x",
          "out_folder/secret",
          "out_folder/folder/deep",
          "out_folder/new/x",
          "out_folder/secret/x",
          "out_root/tmp",
          "out_root/nowhere/x",
          "up/vast2/secret",
          "up/vast2/new",
          "chain/secret",
          "chain/new/x",
          "dangling/x",
          "dangling_out/x",
        ]
      ) {
        await assertRefused(() => operation(root, relative), "outside", relative);
      }
      assert.deepEqual(await listTree(dir), before);
    }));

  Deno.test(`${name} says missing when the base path is not there`, () =>
    withTempDir(async (dir) => {
      await assertRefused(() => operation(join(dir, "gone"), "a"), "missing", "a");
      await assertRefused(() => operation(join(dir, "gone"), "../a"), "outside", "../a");
      assert.deepEqual(await listTree(dir), {});
    }));
}

for (const [name, operation] of OPERATIONS.slice(0, 3)) {
  Deno.test(`${name} refuses a link that is itself the last component and leads outside`, () =>
    withRoot(async (root, dir) => {
      const before = await listTree(dir);
      for (
        const each of [
          "out_file",
          "out_folder",
          "out_root",
          "up",
          "dangling",
          "dangling_out",
          "through_file",
          "chain",
          "loop",
        ]
      ) {
        await assertRefused(() => operation(root, each), "outside", each);
      }
      assert.deepEqual(await listTree(dir), before);
    }));
}

Deno.test("what exists resolves to its true path", () =>
  withRoot(async (root) => {
    const expected: readonly [string, string][] = [
      ["", root],
      [".", root],
      ["alice/pkg.zip", join(root, "alice/pkg.zip")],
      ["./alice//pkg.zip/", join(root, "alice/pkg.zip")],
      ["in_file", join(root, "alice/pkg.zip")],
      ["in_folder/pkg.zip", join(root, "alice/pkg.zip")],
      ["alice/back/file", join(root, "bob/file")],
    ];
    for (const [relative, path] of expected) assert.equal(await resolveExisting(root, relative), path);
  }));

Deno.test("a base path that is a link, or is written with steps, is the root it leads to", () =>
  withRoot(async (root, dir) => {
    for (const base of [join(dir, "mount"), `${dir}/vast2/../mount/`, `${root}/`]) {
      assert.equal(await resolveExisting(base, "alice/pkg.zip"), join(root, "alice/pkg.zip"));
      assert.equal(await resolveExisting(base, "in_folder"), join(root, "alice"));
      await assertRefused(() => resolveExisting(base, "out_folder/secret"), "outside");
    }
  }));

Deno.test("what is not there inside is missing", () =>
  withRoot(async (root) => {
    for (const each of ["new", "alice/new", "alice/new/x", "in_folder/new", "alice/pkg.zip/x", "in_file/x"]) {
      await assertRefused(() => resolveExisting(root, each), "missing", each);
      await assertRefused(() => openInside(root, each), "missing", each);
    }
  }));

Deno.test("outside is refused alike, whatever is there: nothing can be probed", () =>
  withRoot(async (root) => {
    for (
      const each of ["secret", "nowhere", "folder", "folder/deep", "secret/x", "nowhere/x", "loop", "loop/x"]
    ) {
      await assertRefused(() => resolveExisting(root, `out_folder/${each}`), "outside");
    }
  }));

Deno.test({
  name: "outside is refused alike where permission is missing (needs a user other than root)",
  ignore: Deno.build.os === "windows" || Deno.uid() === 0,
  fn: () =>
    withRoot(async (root, dir) => {
      await Deno.chmod(join(dir, "vast2/folder"), 0o000);
      try {
        await assertRefused(() => resolveExisting(root, "out_folder/folder/deep"), "outside");
        await assertRefused(() => resolveExisting(root, "out_folder/folder/x/y"), "outside");
      } finally {
        await Deno.chmod(join(dir, "vast2/folder"), 0o755);
      }
    }),
});

Deno.test("a loop of links is refused, whatever follows it", () =>
  withRoot(async (root) => {
    for (const each of ["loop", "loop/x", "loop/x/y"]) {
      await assertRefused(() => resolveExisting(root, each), "outside", each);
    }
  }));

Deno.test("a file is opened at its true path, for reading only", () =>
  withRoot(async (root) => {
    for (const each of ["alice/pkg.zip", "in_file", "in_folder/pkg.zip"]) {
      const { file, path, info } = await openInside(root, each);
      assert.equal(path, join(root, "alice/pkg.zip"));
      assert.equal(info.size, 7);
      await assert.rejects(() => file.write(new Uint8Array(1)));
      assert.equal(await new Response(file.readable).text(), "package");
    }
  }));

Deno.test("a folder is no file to open", () =>
  withRoot(async (root) => {
    for (const each of ["", "alice", "in_folder"]) {
      await assertRefused(() => openInside(root, each), "corrupt", each);
    }
  }));

Deno.test({
  name: "a pipe is refused without waiting for its other end",
  ignore: Deno.build.os === "windows",
  fn: () =>
    withTempDir(async (dir) => {
      const { success } = await new Deno.Command("mkfifo", { args: [join(dir, "pipe")] }).output();
      assert.ok(success);
      await assertRefused(() => openInside(dir, "pipe"), "corrupt");
    }),
});

Deno.test("folders are made as needed, and the true path is returned", () =>
  withRoot(async (root) => {
    assert.equal(await makeFolderInside(root, ""), root);
    assert.equal(await makeFolderInside(root, "alice"), join(root, "alice"));
    assert.equal(await makeFolderInside(root, "new/a/b"), join(root, "new/a/b"));
    assert.equal(await makeFolderInside(root, "in_folder/x/y/"), join(root, "alice/x/y"));
    assert.ok((await Deno.stat(join(root, "alice/x/y"))).isDirectory);
    const made = await Promise.all(Array.from({ length: 20 }, () => makeFolderInside(root, "same/p/q")));
    assert.deepEqual([...new Set(made)], [join(root, "same/p/q")]);
  }));

Deno.test("a file in the way of a folder is left alone", () =>
  withRoot(async (root, dir) => {
    const before = await listTree(dir);
    for (const each of ["alice/pkg.zip", "alice/pkg.zip/x", "in_file", "in_file/x/y"]) {
      await assertRefused(() => makeFolderInside(root, each), "outside");
    }
    assert.deepEqual(await listTree(dir), before);
  }));

Deno.test("a folder is flushed without complaint", () => withTempDir((dir) => flushFolder(dir)));
