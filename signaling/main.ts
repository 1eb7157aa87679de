import { type Command, Option } from "commander";
import { getLogger } from "@logtape/logtape";
import { addCompletions } from "../config/completions.ts";
import { parseIceUrl } from "../config/ice_url.ts";
import { configureLog, type LogFormat } from "../config/log.ts";
import { withoutCredentials } from "../config/mistake.ts";
import { createProgram, logFormatOption, onStopSignal, runProgram } from "../config/program.ts";
import { ConfigError, reasonOf } from "../config/user_error.ts";
import type { IceServer } from "../protocol/signaling.ts";
import { ADMIN_KEY_VARIABLE } from "./admin.ts";
import { addLimitFlags } from "./limit_flags.ts";
import type { Limits } from "./limits.ts";
import { parseOrigin } from "./origin.ts";
import { DEFAULT_STORE, openStore } from "./open_store.ts";
import { DEFAULT_HTTP_PORT, DEFAULT_WS_PORT, type SignalingServer, startSignaling } from "./server.ts";
import { readTls, type TlsFiles } from "./tls.ts";

const logger = getLogger(["sleap-rtc", "signaling"]);

/** Bytes of a mebibyte. */
const MIB = 1024 * 1024;

const EXAMPLES = `  $ sleap-rtc-signaling
  $ sleap-rtc-signaling --host 127.0.0.1 --http-port 8001 --ws-port 8080
  $ sleap-rtc-signaling --http-port 8001 --ws-port 8001        one port for both
  $ sleap-rtc-signaling --http-port 0 --ws-port 0 --json       any free ports, told as one JSON line
  $ sleap-rtc-signaling --ice-server stun:stun.example.org:3478 \\
      --ice-server "turn:turn.example.org:3478?transport=udp" --ice-username lab --ice-credential PASSWORD
  $ sleap-rtc-signaling --tls-cert fullchain.pem --tls-key privkey.pem
  $ sleap-rtc-signaling --host 127.0.0.1 --trust-proxy         behind a proxy on this machine
  $ sleap-rtc-signaling --relay-limit 5                        peers without UDP get 5 MiB/s each
  $ sleap-rtc-signaling --store sqlite:/var/lib/sleap-rtc/signaling.db
  $ sleap-rtc-signaling --store redis://redis.lab.example:6379/0   one of several servers
  $ sleap-rtc-signaling --store memory                         forgets its rooms when it ends`;

interface Flags extends Limits, TlsFiles {
  allowOrigin?: string[];
  trustProxy?: true;
  host: string;
  httpPort: number;
  wsPort: number;
  iceServer?: string[];
  iceUsername?: string;
  iceCredential?: string;
  relayLimit?: number;
  store: string;
  json?: true;
  verbose?: true;
  quiet?: true;
  logFormat?: LogFormat;
}

/** Runs the command line until the server is stopped; returns the exit code. */
export function main(args: readonly string[]): Promise<number> {
  return runProgram(createCommand(), args);
}

/** The command line: what it understands, and what it does. */
export function createCommand(): Command {
  const description =
    "Introduces sleap-rtc clients and workers to each other: rooms, discovery, relaying of offers.";
  const command = createProgram("sleap-rtc-signaling", description, EXAMPLES)
    .option("--host <address>", "address to listen at", "0.0.0.0")
    .option("--http-port <port>", "port of the HTTP API; 0 takes any free one", parsePort, DEFAULT_HTTP_PORT)
    .option("--ws-port <port>", "port of the WebSocket; 0 takes any free one", parsePort, DEFAULT_WS_PORT)
    .option(
      "--tls-cert <file>",
      "certificate (PEM): serve by HTTPS and secure WebSockets; SIGHUP reads it anew",
    )
    .option("--tls-key <file>", "its private key (PEM)")
    .option("--ice-server <url>", "STUN or TURN server for all peers; repeatable", addIceUrl)
    .option("--ice-username <name>", "user name at the TURN servers")
    .option(
      "--relay-limit <MiB/s>",
      "how fast each peer may send to others through this server, which they do where UDP is blocked; " +
        "0 refuses; without a limit by default",
      parseLimit,
    )
    .addOption(
      new Option("--ice-credential <password>", "password at the TURN servers").env(
        "SLEAP_RTC_ICE_CREDENTIAL",
      ),
    )
    .option(
      "--allow-origin <origin>",
      "let pages of this origin use the server from a browser; repeatable; none by default",
      addOrigin,
    )
    .option("--trust-proxy", "a proxy in front tells in X-Forwarded-For where requests come from")
    .addOption(
      new Option(
        "--store <where>",
        "what outlives the server: sqlite:PATH, of one server alone; redis://HOST:PORT/DB, shared by several (with a " +
          "password in the variable only, which other users cannot read); or memory",
      )
        .env("SLEAP_RTC_STORE").default(DEFAULT_STORE),
    )
    .addOption(logFormatOption())
    .option("--verbose", "log more")
    .option("--quiet", "log errors only")
    .option("--json", "tell the addresses as one JSON line on stdout, and log as JSON lines")
    .action(serve);
  addCompletions(command);
  return addLimitFlags(command);
}

async function serve(flags: Flags, command: Command): Promise<void> {
  await configureLog(flags);
  if (command.getOptionValueSource("store") === "cli") refusePassword(flags.store);
  const tls = await readTls(flags);
  const adminKey = Deno.env.get(ADMIN_KEY_VARIABLE);
  const store = await openStore(flags.store);
  await giveUpFiles(tls !== undefined);
  const server = await startSignaling({
    store,
    hostname: flags.host,
    httpPort: flags.httpPort,
    wsPort: flags.wsPort,
    iceServers: iceServers(flags),
    ...(flags.relayLimit !== undefined && { relayLimit: flags.relayLimit }),
    limits: flags,
    origins: flags.allowOrigin ?? [],
    trustProxy: flags.trustProxy ?? false,
    ...(adminKey && { adminKey }),
    ...(tls && { tls }),
  });
  const release = onStopSignal(() => void server.shutdown());
  if (tls) onHangUp(() => renewTls(server, flags));
  announce(server, flags);
  await server.finished;
  release();
  await store.close();
}

/** Every user of the machine sees command lines. */
function refusePassword(store: string): void {
  if (!/^rediss?:/.test(store) || !URL.canParse(store) || new URL(store).password === "") return;
  throw new ConfigError("--store: a password on the command line can be read by every user of this machine", {
    hint: "take the flag away, and set SLEAP_RTC_STORE to the same address",
  });
}

/** The store is open: whoever takes over the server gets no other file. A certificate that is renewed must be read. */
async function giveUpFiles(hasCertificate: boolean): Promise<void> {
  await Deno.permissions.revoke({ name: "write" });
  if (!hasCertificate) await Deno.permissions.revoke({ name: "read" });
}

/** A certificate that cannot be used changes nothing. */
async function renewTls(server: SignalingServer, flags: TlsFiles): Promise<void> {
  try {
    const tls = await readTls(flags);
    if (tls) await server.renewTls(tls);
    logger.info("the certificate was read anew");
  } catch (error) {
    logger.error("the certificate could not be renewed: {reason}", reasonOf(error));
  }
}

function onHangUp(action: () => void): void {
  if (Deno.build.os !== "windows") Deno.addSignalListener("SIGHUP", action);
}

function announce(server: SignalingServer, flags: Flags): void {
  if (flags.json) {
    console.log(JSON.stringify({ event: "listening", http: server.httpUrl, websocket: server.wsUrl }));
    return;
  }
  console.log(`signaling server listening at ${flags.host}`);
  console.log(`  signaling_http      = "${server.httpUrl}"`);
  console.log(`  signaling_websocket = "${server.wsUrl}"`);
  console.log("Press Ctrl-C to stop.");
}

function iceServers({ iceServer = [], iceUsername, iceCredential }: Flags): IceServer[] {
  return iceServer.map((urls) => {
    if (parseIceUrl(urls)?.kind !== "turn") return { urls };
    if (iceUsername === undefined || iceCredential === undefined) {
      throw new ConfigError(`--ice-server: ${urls} needs a user and a password`, {
        hint: "give --ice-username and --ice-credential",
      });
    }
    return { urls, username: iceUsername, credential: iceCredential };
  });
}

function addOrigin(text: string, origins: string[] = []): string[] {
  return [...origins, parseOrigin(text)];
}

function addIceUrl(url: string, urls: string[] = []): string[] {
  if (!parseIceUrl(url)) {
    throw new ConfigError(`--ice-server: "${withoutCredentials(url)}" is no STUN or TURN address`, {
      hint: "write stun:host:port or turn:host:port?transport=udp",
    });
  }
  return [...urls, url];
}

/** Bytes a second. */
function parseLimit(text: string): number {
  if (/^\d{1,6}(\.\d{1,6})?$/.test(text)) return Number(text) * MIB;
  throw new ConfigError(`--relay-limit: "${text}" is no rate`, {
    hint: "write MiB a second, for example 5 or 0.5; 0 refuses",
  });
}

function parsePort(text: string): number {
  const port = /^\d{1,5}$/.test(text) ? Number(text) : NaN;
  if (port <= 65_535) return port;
  throw new ConfigError(`"${text}" is no port`, { hint: "a port is a whole number from 0 to 65535" });
}

if (import.meta.main) Deno.exit(await main(Deno.args));
