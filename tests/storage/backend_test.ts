import assert from "node:assert/strict";
import { join } from "node:path";
import { ConfigFileError } from "../../config/mistake.ts";
import {
  componentsBelow,
  StorageBackend,
  StorageBackendNotFound,
  StorageConfig,
} from "../../storage/backend.ts";
import { PathValidationError } from "../../storage/containment.ts";
import { HOSTILE } from "./hostile.ts";
import { makeTree, withTempDir } from "./temp.ts";

Deno.test.sanitizer({ ops: true, resources: true });

const VAST = { name: "vast", basePath: "/mnt/vast", type: "nfs", description: "Institutional" };
const LOCAL = { name: "local", basePath: "/data", type: "local", description: "" };

Deno.test("a backend has name, base path, type and description", () => {
  const { name, basePath, type, description } = new StorageBackend(VAST);
  assert.deepEqual({ name, basePath, type, description }, VAST);
});

Deno.test("a path is base, user subdirectory and relative path", () => {
  const backend = new StorageBackend(VAST);
  const table: readonly [string, string, string][] = [
    ["alice", "project/pkg.zip", "/mnt/vast/alice/project/pkg.zip"],
    ["", "pkg.zip", "/mnt/vast/pkg.zip"],
    ["alice", "", "/mnt/vast/alice"],
    ["", "", "/mnt/vast"],
    [".", ".", "/mnt/vast"],
    ["lab/alice", "./a//b/", "/mnt/vast/lab/alice/a/b"],
  ];
  for (const [user, relative, path] of table) assert.equal(backend.resolvePath(user, relative), path);
});

Deno.test("hostile texts are refused in the path and in the user subdirectory", () => {
  const backend = new StorageBackend(VAST);
  for (const text of HOSTILE) {
    assert.throws(() => backend.resolvePath("alice", text), PathValidationError);
    assert.throws(() => backend.resolvePath(text, "pkg.zip"), PathValidationError);
  }
});

Deno.test("a path is valid when it exists and truly lies in the backend", () =>
  withTempDir(async (dir) => {
    await makeTree(dir, {
      "vast/alice/file": "x",
      "vast/out": { link: "../vast2" },
      "vast/in": { link: "alice/file" },
      "vast2/file": "x",
      "mount": { link: "vast" },
    });
    const valid = async (base: string, path: string): Promise<boolean> => {
      return await new StorageBackend({ ...VAST, basePath: join(dir, base) }).validatePath(join(dir, path));
    };
    for (const base of ["vast", "mount"]) {
      assert.ok(await valid(base, "vast/alice/file"));
      assert.ok(await valid(base, "mount/alice/file"));
      assert.ok(await valid(base, "vast"));
      assert.ok(await valid(base, "vast/in"));
      assert.equal(await valid(base, "vast/out/file"), false);
      assert.equal(await valid(base, "vast2/file"), false);
      assert.equal(await valid(base, "vast/gone"), false);
      assert.equal(await valid(base, ""), false);
    }
    assert.equal(await valid("gone", "vast/alice/file"), false);
  }));

Deno.test("a backend is there when its base path is a folder", () =>
  withTempDir(async (dir) => {
    await makeTree(dir, { "folder/": "", file: "", link: { link: "folder" }, dangling: { link: "gone" } });
    const there = (name: string): Promise<boolean> => {
      return new StorageBackend({ ...VAST, basePath: join(dir, name) }).isThere();
    };
    assert.deepEqual(
      await Promise.all(["folder", "link", "file", "gone", "dangling"].map(there)),
      [true, true, false, false, false],
    );
  }));

Deno.test("backends are found by name, listed sorted, and unknown ones named", () => {
  const config = new StorageConfig([VAST, LOCAL]);
  assert.deepEqual(config.listBackends(), ["local", "vast"]);
  assert.ok(config.hasBackend("vast"));
  assert.equal(config.getBackend("local").basePath, "/data");
  assert.equal(config.resolvePath("vast", "alice", "a/b"), "/mnt/vast/alice/a/b");
  for (const name of ["scratch", "Vast", "", "constructor", "__proto__", "toString"]) {
    assert.equal(config.hasBackend(name), false);
    const attempts = [() => config.getBackend(name), () => config.resolvePath(name, "a", "../b")];
    for (const attempt of attempts) {
      assert.throws(attempt, (error: unknown) => {
        assert.ok(error instanceof StorageBackendNotFound);
        assert.equal(error.backend, name);
        assert.equal(error.hint, "configured: local, vast");
        return true;
      });
    }
  }
  assert.throws(() => config.resolvePath("vast", "alice", "../b"), PathValidationError);
});

Deno.test("without backends the hint says so", () => {
  const config = StorageConfig.fromConfig({ storage: [] });
  assert.deepEqual(config.listBackends(), []);
  assert.match(new StorageBackendNotFound("vast", []).hint ?? "", /no storage backend/);
  assert.throws(() => config.getBackend("vast"), StorageBackendNotFound);
});

Deno.test("backends are read from loaded settings", () => {
  const config = StorageConfig.fromConfig({ storage: [VAST] });
  assert.deepEqual(config.listBackends(), ["vast"]);
  assert.equal(config.getBackend("vast").type, "nfs");
});

Deno.test("backends are read from TOML", () => {
  const config = StorageConfig.fromToml(`
[storage.vast]
base_path = "/mnt/vast"
type = "nfs"
description = "Institutional"
[storage.scratch]
base_path = "/scratch"
`);
  assert.deepEqual(config.listBackends(), ["scratch", "vast"]);
  const { name, basePath, type, description } = config.getBackend("vast");
  assert.deepEqual({ name, basePath, type, description }, VAST);
  assert.equal(config.getBackend("scratch").type, "local");
  assert.deepEqual(StorageConfig.fromToml("").listBackends(), []);
});

Deno.test("a backend of TOML with one base path per system does not vanish", () => {
  const config = StorageConfig.fromToml(
    '[storage.vast]\nbase_path = { linux = "/mnt", darwin = "/Volumes", windows = "Z:/" }',
  );
  assert.ok(config.hasBackend("vast"));
});

Deno.test("a section of TOML without base path is a mistake with file, line and key", () => {
  assert.throws(() => StorageConfig.fromToml('[storage.vast]\ntype = "nfs"', "my.toml"), (error: unknown) => {
    assert.ok(error instanceof ConfigFileError);
    assert.match(error.message, /^my\.toml:1:1: storage\.vast\.base_path: is missing; expected a path/);
    return true;
  });
});

Deno.test("components below a root", () => {
  assert.deepEqual(componentsBelow("/a/b/c", "/a"), ["b", "c"]);
  assert.deepEqual(componentsBelow("/a", "/a"), []);
  assert.deepEqual(componentsBelow("/a", "/"), ["a"]);
  assert.equal(componentsBelow("/ab/c", "/a"), undefined);
});
