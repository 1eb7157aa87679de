import assert from "node:assert/strict";
import { join } from "node:path";
import fc from "fast-check";
import { migrateSharedRoot } from "../../config/migrate.ts";
import { ConfigError } from "../../config/user_error.ts";
import { load, loadBare, surroundings } from "./fake_surroundings.ts";

Deno.test("the section equals the variable", () => {
  const { toml } = migrateSharedRoot({}, surroundings({ env: { SHARED_STORAGE_ROOT: "/mnt/vast/ada" } }));
  assert.equal(
    toml,
    '[storage.default]\nbase_path = "/mnt/vast/ada"\ntype = "local"\ndescription = "SHARED_STORAGE_ROOT"\n',
  );
});

Deno.test("the user directory is split off when asked", () => {
  const at = surroundings({ env: { SHARED_STORAGE_ROOT: "/mnt/vast/ada/" } });
  const { toml, hints } = migrateSharedRoot({ userDir: true, name: "vast" }, at);
  const config = load(toml);
  assert.deepEqual(config.storage.map(({ name, basePath }) => [name, basePath]), [["vast", "/mnt/vast"]]);
  assert.equal(config.client.userSubdir, "ada");
  assert.ok(hints.some((hint) => hint.includes("confine_to_user_subdir")));
});

Deno.test("the flag wins over the variable, ~ and variables are written out", () => {
  const at = surroundings({ env: { SHARED_STORAGE_ROOT: "/a", USER: "ada" } });
  const { toml } = migrateSharedRoot({ sharedStorageRoot: "~/$USER" }, at);
  assert.match(toml, /base_path = "\/home\/ada\/ada"/);
});

Deno.test("a folder that is not there is written, with a hint", () => {
  const env = { SHARED_STORAGE_ROOT: "/a" };
  const hint = /\/a is not a folder/;
  assert.match(migrateSharedRoot({}, surroundings({ env })).hints.join("\n"), hint);
  assert.doesNotMatch(migrateSharedRoot({}, surroundings({ env, folders: ["/a"] })).hints.join("\n"), hint);
});

Deno.test("what cannot be migrated is refused", () => {
  const refused = (
    root: string | undefined,
    options: Parameters<typeof migrateSharedRoot>[0],
    why: RegExp,
  ): void => {
    const env = { LAB: "/x$HOME", ...(root === undefined ? {} : { SHARED_STORAGE_ROOT: root }) };
    assert.throws(() => migrateSharedRoot(options, surroundings({ env })), (error: unknown) => {
      assert.ok(error instanceof ConfigError);
      assert.match(error.message, why);
      return true;
    });
  };
  refused(undefined, {}, /SHARED_STORAGE_ROOT is not set/);
  refused("", {}, /SHARED_STORAGE_ROOT is not set/);
  refused("/a", { sharedStorageRoot: "" }, /--shared-storage-root: the path is empty/);
  refused("$GONE/a", {}, /SHARED_STORAGE_ROOT: .*\$GONE/);
  refused("$LAB/a", {}, /takes the "\$" in \/x\$HOME\/a for a variable/);
  refused("/a", { name: "my vast" }, /--name: found "my vast"/);
  refused("/a", { userDir: true }, /leaves \/, the whole disk/);
  refused("/", { userDir: true }, /the whole disk/);
  refused("s3://lab/a", {}, /not a path of this machine/);
});

const folder = fc.string({ unit: "grapheme", minLength: 1, maxLength: 12 })
  .filter((name) => !/[/\0]|^\.{1,2}$|\$[\w{]/.test(name));
const root = fc.array(folder, { minLength: 2, maxLength: 4 }).map((parts) => `/${parts.join("/")}`);
const backendName = fc.stringMatching(/^[A-Za-z0-9][A-Za-z0-9_.-]{0,8}$/);

Deno.test("the migrated file loads to the same settings as the variable, whatever the path", () => {
  fc.assert(fc.property(root, (path) => {
    const machine = { env: { SHARED_STORAGE_ROOT: path }, folders: [path] };
    const before = loadBare(machine);
    const after = load(migrateSharedRoot({}, surroundings(machine)).toml, machine);
    assert.equal(before.sharedStorageRoot, path);
    assert.deepEqual({ ...after, file: undefined, notices: [] }, before);
  }));
});

Deno.test("base path and user directory together are the variable's path", () => {
  fc.assert(fc.property(root, backendName, (path, name) => {
    const at = surroundings({ env: { SHARED_STORAGE_ROOT: path } });
    const { storage, client } = load(migrateSharedRoot({ userDir: true, name }, at).toml);
    assert.deepEqual(storage.map((entry) => [entry.name, join(entry.basePath, client.userSubdir ?? "?")]), [
      [name, path],
    ]);
    assert.ok(client.userSubdir !== undefined && !client.userSubdir.includes("/"));
  }));
});
