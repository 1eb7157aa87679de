/** Checks of the native library, and of the ways that it finds: own addresses, STUN and TURN servers. */
import type { Check, Finding } from "../config/checkup.ts";
import { type IceUrl, parseIceUrl } from "../config/ice_url.ts";
import { withoutCredentials } from "../config/mistake.ts";
import { errorText, UserError } from "../config/user_error.ts";
import { printable } from "../protocol/printable.ts";
import type { IceServer } from "../protocol/signaling.ts";
import { type CandidateAddress, candidatesOf } from "./sdp.ts";
import { askStun, type StunAnswer } from "./stun.ts";

/** A STUN server that does not answer within this, in milliseconds, is of no use to a connection either. */
const STUN_MS = 3_000;
/** Gathering ends by itself after three seconds. */
const GATHER_MS = 8_000;
/** Servers looked at: a signaling server may tell of any number. */
const MAX_SERVERS = 8;

const BLOCKED_HINT =
  "is UDP to it blocked by a firewall, or the server not running? Without it connections between " +
  "two networks go over the signaling server, slower";

/** The one module that touches the native library. */
export type PeerModule = typeof import("./peer.ts");

/** What these checks depend on. */
export interface IceOptions {
  /** Loaded late, and by whoever ends the library. */
  loading: Promise<PeerModule>;
  /** Of the configuration and the signaling server. */
  servers: Promise<readonly IceServer[]>;
  /** Milliseconds that `servers` may take. */
  serversMs: number;
  relayOnly: boolean;
}

/** The checks. */
export function iceChecks(options: IceOptions): Check[] {
  const { loading } = options;
  return [
    {
      what: "native library",
      limitMs: GATHER_MS,
      async *look(): AsyncGenerator<Finding> {
        const { libraryVersion } = await loadLibrary(loading);
        yield { what: "native library", status: "ok", detail: `WebRTC by ${libraryVersion()}` };
        yield* lookAtHost(loading);
      },
    },
    {
      what: "ICE servers",
      limitMs: options.serversMs + GATHER_MS + STUN_MS,
      look: () => lookAtServers(options),
    },
  ];
}

async function loadLibrary(loading: Promise<PeerModule>): Promise<PeerModule> {
  try {
    return await loading;
  } catch (error) {
    throw new UserError(`it cannot be loaded: ${errorText(error)}`, {
      code: "ADDON_FAILED",
      hint: error instanceof UserError && error.hint !== undefined
        ? error.hint
        : "is --allow-ffi given, and does this system have glibc or musl for its processor?",
    });
  }
}

/** Addresses that a connection with these servers would offer. */
async function gather(
  loading: Promise<PeerModule>,
  iceServers: readonly IceServer[],
): Promise<CandidateAddress[]> {
  const { Peer } = await loading;
  const { peer, sdp } = await Peer.offer({ iceServers });
  peer.close();
  return candidatesOf(sdp);
}

async function* lookAtHost(loading: Promise<PeerModule>): AsyncGenerator<Finding> {
  const addresses = (await gather(loading, [])).map(({ address }) => address);
  const what = "ICE host candidates";
  yield addresses.length > 0
    ? { what, status: "ok", detail: [...new Set(addresses)].join(", "), figures: { host: addresses.length } }
    : {
      what,
      status: "failure",
      detail: "none: this machine has no network address that could be offered",
      hint: "is it connected to a network?",
    };
}

async function* lookAtServers({ loading, servers, relayOnly }: IceOptions): AsyncGenerator<Finding> {
  const all = (await servers).flatMap(({ urls, username, credential }) =>
    [urls].flat().map((url) => ({ urls: url, username, credential }))
  );
  const known = [...new Map(all.map((server) => [server.urls, server])).values()].slice(0, MAX_SERVERS);
  if (known.length === 0) {
    const hint = "add a TURN server to ice_servers in [default], or to the signaling server: --ice-server";
    return yield relayOnly
      ? { what: "ICE servers", status: "failure", detail: "none, and only relays are allowed", hint }
      : { what: "ICE servers", status: "ok", detail: "none: enough where one side can reach the other" };
  }
  const looking = known.map((server) => lookAtServer(loading, server));
  for (const each of looking) yield await each;
}

async function lookAtServer(
  loading: Promise<PeerModule>,
  { urls, username, credential }: {
    urls: string;
    username: string | undefined;
    credential: string | undefined;
  },
): Promise<Finding> {
  const what = printable(withoutCredentials(urls));
  const parsed = parseIceUrl(urls);
  const unusable = (detail: string, hint: string): Finding => ({ what, status: "failure", detail, hint });
  if (!parsed) {
    return unusable("it is no address of a STUN or TURN server", "expected stun:HOST:PORT or turn:HOST:PORT");
  }
  if (!parsed.isUdp) return unusable("TCP and TLS are not supported", "use its UDP port: turn:HOST:3478");
  let answer: StunAnswer | undefined;
  try {
    answer = await askStun(parsed, STUN_MS);
  } catch (error) {
    return unusable(errorText(error), "is the address right, and does this machine's name service know it?");
  }
  if (parsed.kind === "stun") return stunFinding(what, answer);
  if (username === undefined || credential === undefined) {
    return unusable("user or password is missing", "give username and credential beside the address");
  }
  try {
    const found = await gather(loading, [{ urls, username, credential }]);
    return turnFinding(what, parsed, answer, found.filter(({ type }) => type === "relay"));
  } catch (error) {
    return unusable(errorText(error), "see: native library");
  }
}

function stunFinding(what: string, answer: StunAnswer | undefined): Finding {
  if (!answer) {
    const detail = `no answer by UDP within ${STUN_MS / 1000} s`;
    return { what, status: "failure", detail, hint: BLOCKED_HINT, figures: { srflx: 0 } };
  }
  const { roundTripMs: round_trip_ms, seenAs } = answer;
  const seen = seenAs === undefined ? "" : `, and sees this machine as ${seenAs}`;
  return {
    what,
    status: "ok",
    detail: `it answers in ${round_trip_ms} ms${seen}`,
    figures: { round_trip_ms, srflx: seenAs === undefined ? 0 : 1 },
  };
}

function turnFinding(
  what: string,
  { hostname, port }: IceUrl,
  answer: StunAnswer | undefined,
  relays: readonly CandidateAddress[],
): Finding {
  const figures = { round_trip_ms: answer?.roundTripMs ?? null, relay: relays.length };
  const [relay] = relays;
  if (relay) {
    const time = answer ? ` in ${answer.roundTripMs} ms` : "";
    return {
      what,
      status: "ok",
      detail: `it answers${time}, and gives the relay ${relay.address} port ${relay.port}`,
      figures,
    };
  }
  if (!answer) {
    const detail = `no answer by UDP within ${STUN_MS / 1000} s`;
    return { what, status: "failure", detail, hint: BLOCKED_HINT, figures };
  }
  return {
    what,
    status: "failure",
    detail: `${hostname} port ${port} answers, but gives no relay`,
    hint:
      "are user and password right (a signaling server has the password in SLEAP_RTC_ICE_CREDENTIAL), and has the " +
      "server relay ports left?",
    figures,
  };
}
