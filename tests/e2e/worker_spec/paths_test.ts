/** Shared Path Message Handling; Path Validation and Security. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { namesIn } from "../lab.ts";
import { begin, put, scenario } from "./lab.ts";

Deno.test("Shared Path Message Handling: Receive shared input path", () =>
  scenario(async ({ client, base }) => {
    await put(join(base, "alice/project/pkg.zip"));
    await begin(client);
    // Neither below the working directory nor without the user's folder: only {shared_root}/{user}/{path} is there.
    assert.equal(await client.ask("SHARED_INPUT_PATH::project/pkg.zip"), "PATH_VALIDATED::input");
  }));

Deno.test("Shared Path Message Handling: Receive shared output path", () =>
  scenario(async ({ client, base }) => {
    await Deno.mkdir(join(base, "alice"));
    await begin(client);
    assert.equal(await client.ask("SHARED_OUTPUT_PATH::project/deep/out"), "PATH_VALIDATED::output");
    assert.ok((await Deno.stat(join(base, "alice/project/deep/out"))).isDirectory);
    // One that exists is as good.
    assert.equal(await client.ask("SHARED_OUTPUT_PATH::project/deep/out"), "PATH_VALIDATED::output");
  }));

Deno.test("Path Validation and Security: Validate path exists", () =>
  scenario(async ({ client, base }) => {
    await put(join(base, "alice/pkg.zip"));
    await begin(client);
    assert.equal(await client.ask("SHARED_INPUT_PATH::pkg.zip"), "PATH_VALIDATED::input");
    assert.equal(
      await client.ask("SHARED_INPUT_PATH::project/none.zip"),
      "PATH_ERROR::Input path does not exist: project/none.zip",
    );
    // The refused path took the earlier one away: nothing can be run now.
    await client.ask("SHARED_OUTPUT_PATH::out");
    assert.equal(
      await client.ask("SHARED_STORAGE_JOB::start"),
      "PATH_ERROR::Missing input or output path for shared storage job",
    );
  }));

Deno.test("Path Validation and Security: Validate path within shared root", () =>
  scenario(async ({ client, base, folder }) => {
    await put(join(base, "alice/pkg.zip"));
    await put(join(folder, "storage2/pkg.zip"));
    await begin(client);
    const outside = [
      "../../storage2/pkg.zip",
      join(folder, "storage2/pkg.zip"),
      join(base, "alice/pkg.zip"),
      "project/../../../x",
      "..\\pkg.zip",
    ];
    for (const path of outside) {
      const expected = `PATH_ERROR::Path outside shared storage: ${path}`;
      assert.equal(await client.ask(`SHARED_INPUT_PATH::${path}`), expected);
      assert.equal(await client.ask(`SHARED_OUTPUT_PATH::${path}`), expected);
    }
    // Nothing was made where they lead.
    assert.deepEqual(await namesIn(join(folder, "storage2")), ["pkg.zip"]);
    assert.deepEqual(await namesIn(join(base, "alice")), ["pkg.zip"]);
  }));

Deno.test("Path Validation and Security: Reject path traversal attacks", () =>
  scenario(async ({ client, base, worker }) => {
    await Deno.mkdir(join(base, "alice"));
    await begin(client);
    assert.equal(
      await client.ask("SHARED_INPUT_PATH::../../etc/passwd"),
      "PATH_ERROR::Path outside shared storage: ../../etc/passwd",
    );
    const line = await worker.process.line(/security: refused the input path/);
    assert.match(line, /"level":"warning".*refused the input path \.\.\/\.\.\/etc\/passwd of /);
    assert.equal(
      await client.ask("SHARED_INPUT_PATH::../../nothing/here"),
      "PATH_ERROR::Path outside shared storage: ../../nothing/here",
      "what lies outside cannot be told from what is missing",
    );
  }));

Deno.test("Path Validation and Security: Resolve symlinks before validation", () =>
  scenario(async ({ client, base, home, worker }) => {
    const outside = await put(join(home, "secret.zip"));
    const inside = await put(join(base, "alice/real/pkg.zip"));
    await Deno.symlink(outside, join(base, "alice/out.zip"));
    await Deno.symlink(home, join(base, "alice/folder"));
    await Deno.symlink(inside, join(base, "alice/in.zip"));
    await begin(client);
    for (const path of ["out.zip", "folder/secret.zip"]) {
      assert.equal(
        await client.ask(`SHARED_INPUT_PATH::${path}`),
        `PATH_ERROR::Path outside shared storage: ${path}`,
      );
    }
    await worker.process.line(/security: refused the input path out\.zip of /);
    // A link that stays inside is followed.
    assert.equal(await client.ask("SHARED_INPUT_PATH::in.zip"), "PATH_VALIDATED::input");
    assert.equal(
      await client.ask("SHARED_OUTPUT_PATH::folder/out"),
      "PATH_ERROR::Path outside shared storage: folder/out",
    );
    assert.deepEqual(await namesIn(home), ["secret.zip"]);
  }));
