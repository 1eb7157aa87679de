/** Checks of a signaling server: HTTP, clock, certificate, and a room with its WebSocket. */
import { z } from "zod";
import { type Check, find, type Finding, type Found, single } from "../config/checkup.ts";
import { withoutCredentials } from "../config/mistake.ts";
import { errorText, UserError } from "../config/user_error.ts";
import { parseJson } from "../protocol/parse_json.ts";
import { printable } from "../protocol/printable.ts";
import { QUEUE } from "../protocol/queue.ts";
import type { IceServer } from "../protocol/signaling.ts";
import {
  apiUrl,
  createRoom,
  deletePeer,
  deleteRoom,
  type Identity,
  type RoomKey,
  signIn,
} from "./account.ts";
import { certificateOf } from "./certificate.ts";
import { SignalingClient } from "./client.ts";
import { SignalingError } from "./signaling_error.ts";

/** The server's answers are waited for so long, in milliseconds, each. */
const ANSWER_MS = 8_000;
/** All of the server's checks together, for those that wait for them, in milliseconds. */
export const SERVER_CHECKS_MS = 5 * ANSWER_MS;
/** Clocks that differ by more, in milliseconds: tokens are refused that should not be. */
const CLOCK_MS = 60_000;
/** A certificate that ends within so many days is told. */
const EXPIRES_SOON_DAYS = 14;
/** A round trip above this, in milliseconds, is slow for what only finds peers. */
const SLOW_MS = 1_000;

const healthSchema = z.object({
  timestamp: z.string().optional().catch(undefined),
  version: z.string().optional().catch(undefined),
});

/** Which server, and which room of it. */
export interface ServerAddress {
  signalingHttp: string;
  signalingWebsocket: string;
  /** Undefined: a room is made, and deleted. */
  room: RoomKey | undefined;
}

/** What the other checks want of the server; settled in any case when the room's check is over. */
export interface ServerFacts {
  /** STUN and TURN servers that the server tells of. */
  iceServers: Promise<readonly IceServer[]>;
  /** Whether the room could be entered. */
  isOpen: Promise<boolean>;
}

/** The checks, and what they find out for others. */
export function serverChecks(address: ServerAddress): { checks: Check[]; facts: ServerFacts } {
  const servers = Promise.withResolvers<readonly IceServer[]>();
  const open = Promise.withResolvers<boolean>();
  const where = withoutCredentials(address.signalingHttp);
  const hosts = [address.signalingHttp, address.signalingWebsocket].filter((url) =>
    /^(https|wss):/i.test(url)
  );
  const checks: Check[] = [
    {
      what: `signaling server ${where}`,
      limitMs: 2 * ANSWER_MS,
      look: (signal) => lookAtHttp(`signaling server ${where}`, address.signalingHttp, signal),
    },
    ...[...new Set(hosts.map((url) => new URL(url).host))].map((host) =>
      single(`certificate of ${host}`, ANSWER_MS, () => judgeCertificate(host))
    ),
    {
      what: "room",
      limitMs: SERVER_CHECKS_MS,
      async *look(signal): AsyncGenerator<Finding> {
        const told: { iceServers: readonly IceServer[]; isOpen: boolean } = { iceServers: [], isOpen: false };
        try {
          yield await find(address.room ? "room" : "WebSocket", () => lookAtRoom(address, told, signal));
        } finally {
          servers.resolve(told.iceServers);
          open.resolve(told.isOpen);
        }
      },
    },
  ];
  return { checks, facts: { iceServers: servers.promise, isOpen: open.promise } };
}

async function* lookAtHttp(what: string, http: string, signal: AbortSignal): AsyncGenerator<Finding> {
  const url = apiUrl(http, "/health");
  const inTime = AbortSignal.any([signal, AbortSignal.timeout(ANSWER_MS)]);
  const began = performance.now();
  const asked = Date.now();
  let response: Response;
  try {
    response = await fetch(url, { signal: inTime });
  } catch (error) {
    signal.throwIfAborted();
    const why = inTime.aborted ? `no answer within ${ANSWER_MS / 1000} s` : reasonOf(error);
    throw new UserError(`cannot reach ${withoutCredentials(url)}: ${why}`, {
      code: "SIGNALING_UNREACHABLE",
      hint:
        "is it running, and is SLEAP_RTC_SIGNALING_HTTP or the [environments] section right? For a certificate " +
        "of your own: DENO_TLS_CA_STORE=system, or DENO_CERT=FILE",
    });
  }
  const round_trip_ms = Math.round(performance.now() - began);
  const middle = (asked + Date.now()) / 2;
  const health = parseJson(healthSchema, (await response.text()).slice(0, 4096));
  const version = health?.version === undefined ? "" : `, version ${printable(health.version).slice(0, 40)}`;
  yield response.ok && health
    ? {
      what,
      status: round_trip_ms > SLOW_MS ? "warning" : "ok",
      detail: `it answers in ${round_trip_ms} ms${version}`,
      figures: { round_trip_ms },
    }
    : {
      what,
      status: "failure",
      detail: `${withoutCredentials(url)} answers ${response.status}, and is no signaling server`,
      hint: "is SLEAP_RTC_SIGNALING_HTTP, or signaling_http in [environments], right?",
    };
  yield clockFinding(health?.timestamp ?? response.headers.get("date") ?? "", middle);
}

/** Why a request failed: what is behind the runtime's own words. */
function reasonOf(error: unknown): string {
  const cause = error instanceof Error ? error.cause : undefined;
  return cause === undefined ? errorText(error) : `${errorText(error)}: ${errorText(cause)}`;
}

/** `now` is this machine's time in the middle of the round trip. */
function clockFinding(text: string, now: number): Finding {
  // Python servers tell UTC without saying so.
  const time = Date.parse(/^\d{4}-[^Z+]*$/.test(text) ? `${text}Z` : text);
  const what = "clock";
  if (Number.isNaN(time)) return { what, status: "ok", detail: "the server does not tell its time" };
  const difference_ms = Math.round(now - time);
  const seconds = Math.round(Math.abs(difference_ms) / 100) / 10;
  const figures = { difference_ms };
  if (Math.abs(difference_ms) <= CLOCK_MS) {
    return { what, status: "ok", detail: `${seconds} s from the server's`, figures };
  }
  return {
    what,
    status: "warning",
    detail: `this machine's is ${seconds} s ${difference_ms > 0 ? "ahead of" : "behind"} the server's`,
    hint:
      "tokens may count as expired, or as of the future: set the clocks by NTP (timedatectl set-ntp true)",
    figures,
  };
}

async function judgeCertificate(host: string): Promise<Found> {
  const expires = await certificateOf(host, ANSWER_MS);
  if (!expires) return { detail: "it does not tell when it expires" };
  const days_left = Math.floor((expires.getTime() - Date.now()) / 86_400_000);
  const [date] = expires.toISOString().split("T");
  const figures = { days_left };
  if (days_left < 0) {
    return {
      status: "failure",
      detail: `it expired on ${date}`,
      hint: "whoever runs the server has to renew it",
      figures,
    };
  }
  if (days_left >= EXPIRES_SOON_DAYS) return { detail: `valid until ${date}`, figures };
  const hint = "whoever runs the server should renew it";
  return { status: "warning", detail: `it expires on ${date}, in ${days_left} days`, hint, figures };
}

async function lookAtRoom(
  address: ServerAddress,
  told: { iceServers: readonly IceServer[]; isOpen: boolean },
  signal: AbortSignal,
): Promise<Found> {
  const { signalingHttp, signalingWebsocket: url } = address;
  const inTime = (): AbortSignal => AbortSignal.any([signal, AbortSignal.timeout(ANSWER_MS)]);
  let identity: Identity | undefined;
  try {
    identity = await signIn(signalingHttp, inTime());
    const room = address.room ?? await createRoom(signalingHttp, identity, inTime());
    const began = performance.now();
    const client = await SignalingClient.connect({
      url,
      identity,
      room,
      timeoutMs: ANSWER_MS,
      signal: inTime(),
      role: "client",
      // A server tells what it knows to those only who know something themselves.
      features: [QUEUE],
      metadata: { tags: ["sleap-rtc", "doctor"], properties: {} },
    });
    const register_ms = Math.round(performance.now() - began);
    try {
      const asked = performance.now();
      await client.discover({}, ANSWER_MS);
      const discover_ms = Math.round(performance.now() - asked);
      [told.iceServers, told.isOpen] = [client.iceServers, true];
      const features = client.serverFeatures.map((name) => printable(name)).join(", ");
      return {
        detail:
          `${withoutCredentials(url)}: registered in ${register_ms} ms, answers in ${discover_ms} ms; ` +
          (features === ""
            ? "it can do what the Python server can"
            : `beyond the Python server: ${features}`),
        figures: { register_ms, discover_ms },
      };
    } finally {
      // Only a room that nobody else knows.
      if (!address.room) await deleteRoom(signalingHttp, identity, room.roomId);
      client.close();
    }
  } catch (error) {
    signal.throwIfAborted();
    if (error instanceof SignalingError && error.hint !== undefined) throw error;
    throw new UserError(`${withoutCredentials(url)}: ${errorText(error)}`, {
      code: "SIGNALING_UNREACHABLE",
      hint:
        "is SLEAP_RTC_SIGNALING_WS, or signaling_websocket in [environments], right, and does a proxy let " +
        "WebSockets through?",
    });
  } finally {
    if (identity) await deletePeer(signalingHttp, identity.peerId, identity.idToken);
  }
}
