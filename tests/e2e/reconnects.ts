/**
 * Connects to a worker again and again in one process, and says how much it has open after some of the rounds.
 *
 *     deno run -A tests/e2e/reconnects.ts HTTP_URL WS_URL SESSION WORKER_PID ROUND...
 */
import { connectTo } from "../../client/connect.ts";
import { parseSession } from "../../protocol/session_string.ts";
import { closeLibrary } from "../../rtc/peer.ts";
import { deletePeer, signIn } from "../../signaling/account.ts";
import { SignalingClient } from "../../signaling/client.ts";
import { pause } from "../../signaling/presence.ts";

/** A worker takes leave in less than this, in milliseconds; it tells nobody. */
const LEAVE_MS = 50;

/** What a process has open. */
export interface Footprint {
  descriptors: number;
  threads: number;
  /** Resident, in MiB. */
  memory: number;
}

async function footprintOf(pid: number): Promise<Footprint> {
  const status = await Deno.readTextFile(`/proc/${pid}/status`);
  const field = (name: string): number => Number(new RegExp(`^${name}:\\s+(\\d+)`, "m").exec(status)?.[1]);
  const descriptors = (await Array.fromAsync(Deno.readDir(`/proc/${pid}/fd`))).length;
  return { descriptors, threads: field("Threads"), memory: Math.round(field("VmRSS") / 1024) };
}

async function connectOnce(http: string, url: string, session: string): Promise<void> {
  const { roomId, token, peerId } = parseSession(session);
  const signal = AbortSignal.timeout(30_000);
  const signaling = await SignalingClient.connect({
    url,
    identity: await signIn(http, signal),
    room: { roomId, token },
    timeoutMs: 10_000,
    role: "client",
    metadata: { tags: ["sleap-rtc"] },
  });
  const options = {
    timeoutMs: 10_000,
    roomSecret: undefined,
    iceServers: [],
    relayOnly: false,
    onInfo: console.error,
  };
  const connection = await connectTo(signaling, peerId, options, signal);
  await connection.close();
  signaling.close();
  await deletePeer(http, signaling.peerId);
  // A worker that is still taking leave would refuse the next one for seconds.
  await pause(LEAVE_MS, signal);
}

if (import.meta.main) {
  const [http = "", url = "", session = "", pid, ...rounds] = Deno.args;
  for (let round = 1; round <= Number(rounds.at(-1)); round++) {
    await connectOnce(http, url, session);
    if (!rounds.includes(String(round))) continue;
    const [client, worker] = [await footprintOf(Deno.pid), await footprintOf(Number(pid))];
    console.log(JSON.stringify({ round, client, worker }));
  }
  closeLibrary();
  Deno.exit();
}
