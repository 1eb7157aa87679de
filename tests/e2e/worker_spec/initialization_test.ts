/** Shared Storage Initialization. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { put, rootTest, runJob, type Scenario, scenario, sh } from "./lab.ts";

const PROJECT = fileURLToPath(new URL("../../..", import.meta.url));

/** Folders that a worker of this machine needs, which no mount may hide from it. */
const NEEDED = [
  PROJECT,
  Deno.execPath(),
  Deno.env.get("HOME") ?? "/root",
  Deno.env.get("DENO_DIR") ?? "/root",
];

/** Whether a folder at the root of the file system can be covered, and mount namespaces can be made. */
async function canCover(top: string): Promise<boolean> {
  const isNeeded = NEEDED.some((path) => path === top || path.startsWith(`${top}/`));
  const isThere = await Deno.stat(top).then(({ isDirectory }) => isDirectory, () => false);
  return isThere && !isNeeded && await sh("unshare", "--mount", "true").then(() => true, () => false);
}

/**
 * Runs a scenario whose worker alone sees `mount`, in a mount namespace of its own: there it is the lab's storage.
 * Below `/mnt` or `/home`, which are covered for it.
 */
function withMount(
  mount: string,
  body: (scenario: Scenario) => Promise<void>,
  options: { env?: (storage: string) => Record<string, string> } = {},
): Promise<void> {
  const top = `/${mount.split("/")[1]}`;
  const cover =
    'mount -t tmpfs tmpfs "$0" && mkdir -p "$1" && mount --bind "$2" "$1" && shift 2 && exec "$@"';
  return scenario(body, {
    storage: () => "",
    prefix: ({ storage }) => ["unshare", "--mount", "sh", "-c", cover, top, mount, storage],
    env: ({ storage }) => options.env?.(storage) ?? {},
  });
}

/** A job by the legacy flow, which knows one root and no backends. */
async function runLegacyJob({ client }: Scenario): Promise<string> {
  await client.say("FILE_META::pkg.zip:1:False", "JOB_ID::job_1a2b3c4d");
  await client.say("SHARED_INPUT_PATH::jobs/job_1a2b3c4d/pkg.zip", "SHARED_OUTPUT_PATH::jobs/job_1a2b3c4d");
  await client.say("SHARED_STORAGE_JOB::start");
  return (await client.until(/^JOB_/)).at(-1)!;
}

/** What the room tells of the worker's storage. */
async function advertised({ lab, worker }: Scenario): Promise<unknown> {
  const args = ["workers", "--room-id", worker.roomId, "--token", worker.token];
  const listing = await lab.client("", args);
  assert.equal(await listing.exited(), 0, listing.output);
  const [line = ""] = listing.stdout;
  return JSON.parse(line).backends;
}

rootTest(
  "Shared Storage Initialization: Detect shared storage on initialization",
  () =>
    withMount("/mnt/shared", async (test) => {
      await test.worker.process.line(/no storage is configured; detected \/mnt\/shared /);
      await put(join(test.base, "jobs/job_1a2b3c4d/pkg.zip"));
      assert.match(await runLegacyJob(test), /^JOB_COMPLETE::job_1a2b3c4d::jobs\/job_1a2b3c4d::1::/);
    }),
  await canCover("/mnt"),
  "root and mount namespaces",
);

Deno.test("Shared Storage Initialization: Store shared storage configuration", () =>
  scenario(async (test) => {
    const { base, client, worker } = test;
    await worker.process.line(new RegExp(`shared storage root of the legacy flow: ${base}"`));
    assert.deepEqual(await advertised(test), ["default"]);
    // The root serves the legacy flow, and the backend `default` is the same folder.
    await put(join(base, "jobs/job_1a2b3c4d/pkg.zip"));
    assert.match(await runLegacyJob(test), /^JOB_COMPLETE::job_1a2b3c4d::jobs\/job_1a2b3c4d::1::/);
    await put(join(base, "alice/pkg.zip"));
    const said = await runJob(client, "pkg.zip", "out", "default");
    assert.match(said.at(-1)!, /^JOB_COMPLETE::job_1a2b3c4d::out::1::/);
  }, { storage: () => "", args: ({ storage }) => ["--shared-storage-root", storage] }));

rootTest(
  "Shared Storage Initialization: Container-specific mount point detection",
  async () => {
    await withMount("/home/jovyan/vast/amick", async (test) => {
      await test.worker.process.line(/detected \/home\/jovyan\/vast\/amick /);
      assert.deepEqual(await advertised(test), ["default"]);
    });
    // The variable wins over what could be detected.
    const env = (storage: string): Record<string, string> => ({ SHARED_STORAGE_ROOT: storage });
    await withMount("/home/jovyan/vast/amick", async ({ base, worker }) => {
      await worker.process.line(
        new RegExp(`storage backend default \\[local\\]: ${base} \\(SHARED_STORAGE_ROOT\\)`),
      );
      assert.doesNotMatch(worker.process.output, /detected/);
    }, { env });
  },
  await canCover("/home"),
  "root and mount namespaces",
);
