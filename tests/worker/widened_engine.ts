/**
 * Starts the real engine with its own permissions, those of the kinds named as arguments widened to everything, and
 * prints what it then could do. A process of its own, as only one isolate of a process may load the native library.
 */
import { type EnginePermissions, enginePermissions } from "../../worker/permissions.ts";
import { probeEngine } from "../../worker/sandbox_check.ts";

const scratch = await Deno.makeTempDir();
try {
  const settings = {
    signalingHttp: "http://127.0.0.1:8001",
    signalingWebsocket: "ws://127.0.0.1:8080",
    connectionTimeout: 30,
    roomSecret: undefined,
    iceServers: [],
    relayOnly: false,
    room: undefined,
    storage: [],
    legacyRoot: undefined,
    scratch,
    incoming: scratch,
    jobs: scratch,
    maxJobs: 1,
    labels: [],
    gpus: [],
    timeLimitMs: undefined,
    trainCommand: ["sleap-nn"],
    trackCommand: ["sleap-nn"],
    jobEnvironment: {},
    properties: {},
    log: {},
  };
  const widened = Object.fromEntries(Deno.args.map((kind) => [kind, true]));
  const permissions: EnginePermissions = { ...await enginePermissions(settings), ...widened };
  console.log(JSON.stringify(await probeEngine(settings, permissions)));
} finally {
  await Deno.remove(scratch, { recursive: true });
}
