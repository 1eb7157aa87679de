import assert from "node:assert/strict";
import { footprint, queuedJob, type WishInput } from "../../client/wish.ts";
import { queuedJobSchema } from "../../protocol/queue.ts";
import { StorageConfig } from "../../storage/backend.ts";

/** What the server is told of a package that lies nowhere, in a folder of this name. */
async function told(userSubdir: string): Promise<ReturnType<typeof queuedJobSchema.parse>> {
  const input: WishInput = {
    kind: "train",
    packagePath: "/nowhere/training.zip",
    isFolder: false,
    storage: new StorageConfig([]),
    hasLegacyRoot: false,
    preferredBackend: undefined,
    userSubdir,
    transfer: "auto",
  };
  const job = queuedJob("q_12345678", input, await footprint(input), {
    needs: {},
    worker: undefined,
    waitS: undefined,
  });
  return queuedJobSchema.parse(job);
}

Deno.test("a job is the server's to take, whatever the folder of its owner is called", async () => {
  assert.equal((await told("alice")).owner, "alice");
  assert.equal((await told("")).owner, undefined);
  assert.equal((await told("long/".repeat(100))).owner?.length, 256);
});
