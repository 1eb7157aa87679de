import { join } from "node:path";
import { LabProcess } from "../../scripts/local_lab.ts";
import type { Namespace } from "./namespaces.ts";

export const TURN_PORT = 3478;
/** Who may use the server, and how. */
export const [TURN_USER, TURN_PASSWORD] = ["lab", "turn-password"];

/** Runs a TURN server in a namespace, at its address, until `use` is done. */
export async function withTurn(
  { address, prefix }: Namespace,
  folder: string,
  use: () => Promise<void>,
): Promise<void> {
  const server = new LabProcess([
    "turnserver",
    "-n",
    `--listening-ip=${address}`,
    `--listening-port=${TURN_PORT}`,
    `--relay-ip=${address}`,
    "--min-port=49152",
    "--max-port=49999",
    "--lt-cred-mech",
    "--realm=lab.example",
    `--user=${TURN_USER}:${TURN_PASSWORD}`,
    "--no-cli",
    "--no-tcp",
    "--no-tls",
    "--no-dtls",
    "--no-tcp-relay",
    "--no-multicast-peers",
    `--userdb=${join(folder, "turn.sqlite")}`,
    `--pidfile=${join(folder, "turn.pid")}`,
    "--log-file=stdout",
  ], { prefix });
  try {
    await server.line(/Total General servers/);
    await use();
  } finally {
    await server.stop();
  }
}
