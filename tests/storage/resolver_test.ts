import assert from "node:assert/strict";
import fc from "fast-check";
import { dirname, join } from "node:path";
import { StorageBackendNotFound, StorageConfig } from "../../storage/backend.ts";
import { StorageResolver } from "../../storage/resolver.ts";
import { assertRefused, listTree, makeTree, withTempDir } from "./temp.ts";

Deno.test.sanitizer({ ops: true, resources: true });

/** A resolver for `vast`, for `nested` inside it, for `mount`, which is a link to it, and for `gone`. */
function withResolver(use: (resolver: StorageResolver, dir: string) => Promise<void>): Promise<void> {
  return withTempDir(async (dir) => {
    await makeTree(dir, {
      "vast/alice/project/pkg.zip": "package",
      "vast/alice/link": { link: "../bob/file" },
      "vast/bob/file": "bob's",
      "vast/top.zip": "top",
      "vast/out": { link: "../vast2" },
      "vast2/file": "x",
      "mount": { link: "vast" },
    });
    const entry = (
      name: string,
      path: string,
    ): { name: string; basePath: string; type: string; description: string } => ({
      name,
      basePath: join(dir, path),
      type: "local",
      description: "",
    });
    const config = new StorageConfig([
      entry("vast", "vast"),
      entry("mount", "mount"),
      entry("zz_nested", "vast/alice"),
      entry("gone", "gone"),
    ]);
    await use(new StorageResolver(config), dir);
  });
}

Deno.test("backend, user subdirectory and relative path resolve to the true path", () =>
  withResolver(async (resolver, dir) => {
    const pkg = join(dir, "vast/alice/project/pkg.zip");
    assert.equal(await resolver.resolve("vast", "alice", "project/pkg.zip"), pkg);
    assert.equal(await resolver.resolve("mount", "alice", "project/pkg.zip"), pkg);
    assert.equal(await resolver.resolve("zz_nested", "", "project/pkg.zip"), pkg);
    assert.equal(await resolver.resolve("vast", "", "top.zip"), join(dir, "vast/top.zip"));
    // what the Python client sends for a package directly in the base folder
    assert.equal(await resolver.resolve("vast", "top.zip", "."), join(dir, "vast/top.zip"));
    assert.equal(await resolver.resolve("vast", "alice", "link"), join(dir, "vast/bob/file"));
  }));

Deno.test("a refusal names the relative path as it was sent", () =>
  withResolver(async (resolver) => {
    await assertRefused(() => resolver.resolve("vast", "alice", "../bob/file"), "outside", "../bob/file");
    await assertRefused(() => resolver.resolve("vast", "..", "vast2/file"), "outside", "vast2/file");
    await assertRefused(() => resolver.resolve("vast", "out", "file"), "outside", "file");
    await assertRefused(() => resolver.resolve("vast", "alice", "gone.zip"), "missing", "gone.zip");
    await assertRefused(() => resolver.resolve("vast", "carol", "gone.zip"), "missing", "gone.zip");
    await assertRefused(() => resolver.resolve("gone", "alice", "x"), "missing", "x");
    await assertRefused(() => resolver.resolve("gone", "alice", "../x"), "outside", "../x");
    await assertRefused(() => resolver.open("vast", "alice", "project"), "corrupt", "project");
    await assertRefused(() => resolver.open("vast", "out", "file"), "outside", "file");
    await assertRefused(() => resolver.makeFolder("vast", "out", "new"), "outside", "new");
    await assertRefused(() => resolver.makeFolder("zz_nested", "..", "new"), "outside", "new");
  }));

Deno.test("user and path are checked each for itself: together they cannot hide a step or a root", () =>
  withResolver(async (resolver) => {
    for (
      const [user, path] of [["/", "x"], ["alice", "/project"], ["alice/..", "bob"], ["a.", "./../.."], [
        "\\",
        "x",
      ]]
    ) {
      await assertRefused(() => resolver.resolve("vast", user ?? "", path ?? ""), "outside");
    }
  }));

Deno.test("an unknown backend is told before any path is looked at", () =>
  withResolver(async (resolver) => {
    const attempts = [
      (): Promise<unknown> => resolver.resolve("nope", "..", ".."),
      (): Promise<unknown> => resolver.open("nope", "a", "b"),
      (): Promise<unknown> => resolver.makeFolder("nope", "a", "b"),
      (): Promise<unknown> => resolver.toRelative("/", "nope"),
    ];
    // a call may throw at once or reject
    for (const attempt of attempts) await assert.rejects(async () => await attempt(), StorageBackendNotFound);
  }));

Deno.test("a file is opened, a folder is made", () =>
  withResolver(async (resolver, dir) => {
    const { file, path } = await resolver.open("vast", "alice", "project/pkg.zip");
    assert.equal(path, join(dir, "vast/alice/project/pkg.zip"));
    assert.equal(await new Response(file.readable).text(), "package");
    const made = await resolver.makeFolder("vast", "alice", "new/models");
    assert.equal(made, join(dir, "vast/alice/new/models"));
    assert.deepEqual(await listTree(made), {});
  }));

Deno.test("an absolute path becomes backend, first folder and rest", () =>
  withResolver(async (resolver, dir) => {
    const table: readonly [string, string, string][] = [
      ["vast/alice/project/pkg.zip", "alice", "project/pkg.zip"],
      ["mount/alice/project/pkg.zip", "alice", "project/pkg.zip"],
      ["vast/alice/project", "alice", "project"],
      ["vast/top.zip", "", "top.zip"],
      ["vast/alice", "", "alice"],
      ["vast", "", ""],
      ["vast/alice/link", "bob", "file"],
      ["vast/alice/../bob//file", "bob", "file"],
    ];
    for (const [path, userSubdir, relativePath] of table) {
      for (const backend of ["vast", "mount"]) {
        assert.deepEqual(await resolver.toRelative(`${dir}/${path}`, backend), {
          backend,
          userSubdir,
          relativePath,
        });
      }
    }
  }));

Deno.test("an absolute path elsewhere is refused", () =>
  withResolver(async (resolver, dir) => {
    for (const path of ["vast2/file", "vast/out/file", "", "vast2"]) {
      await assertRefused(() => resolver.toRelative(join(dir, path), "vast"), "outside");
    }
    await assertRefused(() => resolver.toRelative(join(dir, "vast/bob/file"), "zz_nested"), "outside");
  }));

Deno.test("an absolute path that does not exist is refused by the same kind of error", () =>
  withResolver(async (resolver, dir) => {
    await assertRefused(() => resolver.toRelative(join(dir, "vast/alice/gone"), "vast"), "missing");
  }));

Deno.test("a base path that is not there makes toRelative refuse by the same kind of error", () =>
  withResolver(async (resolver, dir) => {
    await assertRefused(() => resolver.toRelative(join(dir, "vast/top.zip"), "gone"), "missing");
  }));

Deno.test("a path is located in the first backend by name that has it", () =>
  withResolver(async (resolver, dir) => {
    assert.deepEqual(await resolver.locate(join(dir, "vast/alice/project/pkg.zip")), {
      backend: "mount",
      userSubdir: "alice",
      relativePath: "project/pkg.zip",
    });
    for (const path of ["vast2/file", "vast/out/file", "gone"]) {
      assert.equal(await resolver.locate(join(dir, path)), undefined);
    }
  }));

Deno.test("an address of an existing file resolves back to it", () => {
  const name = fc.stringMatching(/^[a-z0-9 ._-]{1,8}$/).filter((each) => !/^[. ]+$/.test(each));
  return fc.assert(
    fc.asyncProperty(fc.array(name, { minLength: 1, maxLength: 5 }), (names) =>
      withTempDir(async (dir) => {
        const path = join(dir, ...names);
        await Deno.mkdir(dirname(path), { recursive: true });
        await Deno.writeTextFile(path, "");
        const resolver = new StorageResolver(
          new StorageConfig([{ name: "vast", basePath: dir, type: "local", description: "" }]),
        );
        const { backend, userSubdir, relativePath } = await resolver.toRelative(path, "vast");
        assert.equal(await resolver.resolve(backend, userSubdir, relativePath), path);
      })),
    { numRuns: 100 },
  );
});
