/** The queue of the signaling server without sockets: how long it takes to lead jobs to workers, and how fairly. */
import { join } from "node:path";
import { z } from "zod";
import { jobOfferSchema } from "../../protocol/queue.ts";
import { Queue } from "../../signaling/queue.ts";
import type { RegisteredPeer } from "../../signaling/room.ts";
import { SqliteStore } from "../../signaling/sqlite_store.ts";
import { MemoryStore, type Store } from "../../signaling/store.ts";
import { type Figures, round, withFolder } from "./measure.ts";

const OWNERS = 100;
const WORKERS = 32;

const messageSchema = z.union([
  jobOfferSchema,
  z.object({ type: z.literal("other") }).catch({ type: "other" }),
]);

/** So many jobs of 100 owners wait in one room, and are led to 32 workers, kept in memory and in a file. */
export async function benchQueue(jobs = 10_000): Promise<Figures> {
  const memory = await lead(new MemoryStore(), jobs);
  const file = await withFolder(async (folder) => {
    const store = await SqliteStore.open(join(folder, "jobs.db"));
    try {
      return await lead(store, jobs);
    } finally {
      await store.close();
    }
  });
  return {
    jobs,
    owners: OWNERS,
    route_ms_mean: round(file.route),
    route_ms_mean_memory: round(memory.route),
    submit_ms_mean: round(file.submit),
    // Between the owner that has got the most jobs and the one that has got the fewest, at any time.
    unfair_jobs: Math.max(file.unfair, memory.unfair),
  };
}

/** Milliseconds for one submission and one routing, and by how many jobs owners were ever apart. */
async function lead(
  store: Store,
  jobs: number,
): Promise<{ submit: number; route: number; unfair: number }> {
  const queue = new Queue(store);
  await queue.start();
  const offers: { worker: string; job: string; client: string }[] = [];
  const room = { id: "bench", token: "bench", expiresAt: 0, peers: new Map(), adminPeerId: null };
  const peer = (peerId: string, role: string, status: string): RegisteredPeer => ({
    peerId,
    role,
    features: ["queue"],
    metadata: { properties: { status, storage_backends: ["vast"] } },
    connectedAt: 0,
    room,
    connection: {
      isOpen: true,
      send: (text) => {
        const message = messageSchema.parse(JSON.parse(text));
        if (message.type === "job_offer") {
          offers.push({ worker: peerId, job: message.job.id, client: message.client });
        }
        return true;
      },
    },
  });
  const workers = new Map(
    Array.from({ length: WORKERS }, (_, i) => [`w${i}`, peer(`w${i}`, "worker", "busy")]),
  );
  const clients = Array.from({ length: OWNERS }, (_, i) => peer(`c${i}`, "client", ""));
  for (const each of [...workers.values(), ...clients]) queue.joined(each);
  // Owner after owner: first come, first served would be as unfair as can be.
  const submit = await perJob(jobs, async () => {
    for (let i = 0; i < jobs; i++) {
      const job = {
        id: `job-${i}`.padEnd(12, "-"),
        kind: "train",
        lies_in: ["vast"],
        requires: { storage: "vast" },
      };
      queue.handle(clients[Math.floor(i * OWNERS / jobs)]!, { type: "job_submit", job });
    }
    await queue.settled();
  });
  const got = new Map(clients.map(({ peerId }) => [peerId, 0]));
  let unfair = 0;
  const route = await perJob(jobs, async () => {
    for (const [id, worker] of workers) {
      queue.changed(workers.set(id, peerLike(worker, "available")).get(id)!);
    }
    for (let led = 0; led < jobs;) {
      await queue.settled();
      for (const { worker, job, client } of offers.splice(0)) {
        led++;
        got.set(client, got.get(client)! + 1);
        const busy = workers.get(worker)!;
        queue.handle(busy, { type: "job_answer", job, accepted: true });
        queue.handle(busy, { type: "job_report", job, state: "done" });
      }
      unfair = Math.max(unfair, Math.max(...got.values()) - Math.min(...got.values()));
    }
    await queue.settled();
  });
  await queue.stop();
  return { submit, route, unfair };
}

function peerLike(peer: RegisteredPeer, status: string): RegisteredPeer {
  return { ...peer, metadata: { properties: { ...peer.metadata.properties, status } } };
}

async function perJob(jobs: number, work: () => Promise<void>): Promise<number> {
  const began = performance.now();
  await work();
  return (performance.now() - began) / jobs;
}

if (import.meta.main) console.log(JSON.stringify(await benchQueue()));
