import assert from "node:assert/strict";
import { join } from "node:path";
import { StorageConfig } from "../../storage/backend.ts";
import { PathValidationError } from "../../storage/containment.ts";
import { StorageResolver } from "../../storage/resolver.ts";
import { withTempDir } from "./temp.ts";

/** Two users' folders; alice has links into bob's, and into her own. */
async function withUsers(test: (resolver: StorageResolver, base: string) => Promise<void>): Promise<void> {
  await withTempDir(async (dir) => {
    const base = join(dir, "vast");
    for (const user of ["alice", "bob"]) await Deno.mkdir(join(base, user, "data"), { recursive: true });
    await Deno.writeTextFile(join(base, "bob/data/pkg.zip"), "bob's");
    await Deno.writeTextFile(join(base, "alice/data/pkg.zip"), "alice's");
    await Deno.symlink("../bob/data", join(base, "alice/of-bob"));
    await Deno.symlink("data", join(base, "alice/own"));
    const entries = [{ name: "open", basePath: base }, {
      name: "confined",
      basePath: base,
      confineToUserSubdir: true,
    }];
    await test(new StorageResolver(new StorageConfig(entries)), base);
  });
}

Deno.test("a link into another user's folder is followed, unless the backend confines users", () =>
  withUsers(async (resolver, base) => {
    assert.equal(await resolver.resolve("open", "alice", "of-bob/pkg.zip"), join(base, "bob/data/pkg.zip"));
    const refused = (error: unknown): boolean =>
      error instanceof PathValidationError && error.refusal === "outside";
    await assert.rejects(resolver.resolve("confined", "alice", "of-bob/pkg.zip"), refused);
    await assert.rejects(resolver.open("confined", "alice", "of-bob/pkg.zip"), refused);
    await assert.rejects(resolver.makeFolder("confined", "alice", "of-bob/new"), refused);
    assert.deepEqual(await Array.fromAsync(Deno.readDir(join(base, "bob/data")), ({ name }) => name), [
      "pkg.zip",
    ]);
  }));

Deno.test("within a user's own folder links work where users are confined", () =>
  withUsers(async (resolver, base) => {
    assert.equal(
      await resolver.resolve("confined", "alice", "own/pkg.zip"),
      join(base, "alice/data/pkg.zip"),
    );
    assert.equal(await resolver.makeFolder("confined", "alice", "own/new"), join(base, "alice/data/new"));
    await assert.rejects(resolver.resolve("confined", "carol", "pkg.zip"), PathValidationError);
  }));
