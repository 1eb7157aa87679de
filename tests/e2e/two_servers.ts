/** Two signaling servers in processes of their own that share a Redis, behind a balancer. */
import { fromSource, LabProcess } from "../../scripts/local_lab.ts";
import { Balancer } from "../signaling/balancer.ts";

const FLAGS = ["--host", "127.0.0.1", "--http-port", "0", "--ws-port", "0", "--json"];

/** A server and its port. */
export interface Server {
  process: LabProcess;
  port: number;
}

/** Both, the one that leads the queue first. */
export interface TwoServers {
  first: Server;
  second: Server;
  balancer: Balancer;
}

/** Runs a test with two servers; they are gone afterwards. */
export async function withTwoServers(redis: string, test: (two: TwoServers) => Promise<void>): Promise<void> {
  const servers: Server[] = [];
  let balancer: Balancer | undefined;
  try {
    const first = await startServer(redis, servers);
    await first.process.line(/this server leads the queue/);
    const second = await startServer(redis, servers);
    balancer = new Balancer([first.port, second.port]);
    await test({ first, second, balancer });
  } finally {
    await balancer?.close();
    for (const { process } of servers) process.kill("SIGKILL");
    for (const { process } of servers) await process.exited();
  }
}

async function startServer(redis: string, servers: Server[]): Promise<Server> {
  const command = [...fromSource("signaling/main.ts"), ...FLAGS];
  const server = { process: new LabProcess(command, { env: { SLEAP_RTC_STORE: redis } }), port: 0 };
  servers.push(server);
  const { websocket } = JSON.parse(await server.process.line(/"listening"/));
  server.port = Number(new URL(websocket).port);
  return server;
}
