/** STUN and TURN servers as the native library takes them, and what to say where they did not help. */
import { getLogger } from "@logtape/logtape";
import type { IceServer as NativeIceServer } from "node-datachannel";
import { parseIceUrl } from "../config/ice_url.ts";
import { withoutCredentials } from "../config/mistake.ts";
import { printable } from "../protocol/printable.ts";
import type { IceServer } from "../protocol/signaling.ts";
import { candidatesOf } from "./sdp.ts";

const logger = getLogger(["sleap-rtc", "rtc"]);

/**
 * The library takes one STUN and two TURN servers, at random when it is given more: it is given no more.
 * Source: libdatachannel, src/impl/icetransport.cpp.
 */
const MAX_SERVERS = { stun: 1, turn: 2 };

/** What was warned about: every connection has the same servers. */
const warned = new Set<string>();

/**
 * The servers that the library can use, in their order: the first STUN server and the first two TURN servers that
 * are reached by plain UDP. One line of the log names those that can never be used, once.
 */
export function nativeIceServers(servers: readonly IceServer[]): NativeIceServer[] {
  const usable = new Map<string, NativeIceServer>();
  const refused: string[] = [];
  const counts = { stun: 0, turn: 0 };
  for (const { urls, username, credential } of servers) {
    for (const url of [urls].flat()) {
      const parsed = parseIceUrl(url);
      const refusal = !parsed
        ? "no address of a STUN or TURN server"
        : !parsed.isUdp
        ? "TCP and TLS are not supported, only UDP"
        : parsed.kind === "turn" && (username === undefined || credential === undefined)
        ? "user or password is missing"
        : undefined;
      if (refusal !== undefined) refused.push(`${printable(withoutCredentials(url))} (${refusal})`);
      if (!parsed || refusal !== undefined) continue;
      const { kind, hostname, port } = parsed;
      const key = `${kind} ${hostname} ${port}`;
      if (usable.has(key) || counts[kind] === MAX_SERVERS[kind]) continue;
      counts[kind]++;
      const relay = { relayType: "TurnUdp", username: username ?? "", password: credential ?? "" } as const;
      usable.set(key, { hostname, port, ...(kind === "turn" ? relay : {}) });
    }
  }
  const text = refused.join(", ");
  if (text !== "" && !warned.has(text)) {
    warned.add(text);
    logger.warn("STUN and TURN servers that cannot be used are left out: {text}", { text });
  }
  return [...usable.values()];
}

/** What is known of a connection that did not come about. */
export interface Failure {
  servers: readonly NativeIceServer[];
  relayOnly: boolean;
  /** This side's and the other side's session description; undefined when there is none yet. */
  own: string | undefined;
  theirs: string | undefined;
}

/** What to do about a connection that did not come about; undefined when nothing can be said. */
export function connectionHint({ servers, relayOnly, own, theirs }: Failure): string | undefined {
  if (own === undefined || theirs === undefined) return undefined;
  const hasRelay = (sdp: string): boolean => candidatesOf(sdp).some(({ type }) => type === "relay");
  const turn = servers.filter(({ relayType }) => relayType !== undefined)
    .map(({ hostname, port }) => `${hostname}:${port}`).join(" and ");
  if (turn !== "" && !hasRelay(own)) {
    return `the TURN server ${turn} gave no relay: can it be reached by UDP, are its user and password right?`;
  }
  if (relayOnly && !hasRelay(theirs)) {
    return "only relayed connections are allowed, and the other side got no relay: it needs a TURN server, too";
  }
  if (turn !== "" || hasRelay(theirs)) return undefined;
  return "where neither network lets the other in, a TURN server is needed: ice_servers in [default] of the " +
    "configuration, or --ice-server of the signaling server";
}
