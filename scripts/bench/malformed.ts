/** What hostile peers of a signaling server may send: messages of every kind, most of them broken in some way. */
import type { Dice } from "../dice.ts";

/** Who sends, and what it knows. */
export interface Sender {
  peerId: string;
  idToken: string;
  roomId: string;
  token: string;
  /** Ids of peers in other rooms, and of those rooms. */
  strangers: readonly string[];
}

const DEEP = `${"[".repeat(5_000)}${"]".repeat(5_000)}`;
const ODD: readonly string[] = [
  "null",
  "true",
  "0",
  "-1",
  "1e999",
  '""',
  '"\\u0000\\ud800"',
  '"__proto__"',
  "[]",
  "{}",
  '{"__proto__":{"role":"worker"},"constructor":1}',
  '[null,[],{"a":[{}]}]',
  `"${"x".repeat(3_000)}"`,
  DEEP,
];

/** One frame: a text, or now and then bytes. About one in eight is well-formed. */
export function malformed(dice: Dice, sender: Sender): string | Uint8Array<ArrayBuffer> {
  const fields = Object.entries(wellFormed(dice, sender)).map(([key, value]) =>
    [key, JSON.stringify(value)] as const
  );
  switch (dice.roll(8)) {
    case 0:
      return object(fields);
    case 1: // a field is missing
      return object(fields.toSpliced(dice.roll(fields.length), 1));
    case 2:
    case 3: { // a field is odd
      const at = dice.roll(fields.length);
      return object(fields.with(at, [fields[at]![0], dice.pick(ODD)]));
    }
    case 4: // a field comes twice, or is nobody's
      return object([...fields, [
        dice.pick(["type", "peer_id", "target", "__proto__", "x"]),
        dice.pick(ODD),
      ]]);
    case 5: // it ends too early
      return object(fields).slice(0, dice.roll(object(fields).length));
    case 6: { // a character is another
      const text = object(fields);
      const at = dice.roll(text.length);
      return text.slice(0, at) + String.fromCharCode(dice.roll(0x3000)) + text.slice(at + 1);
    }
    default:
      return rubbish(dice);
  }
}

/** A message that a peer of this program or a Python peer may send. */
function wellFormed(
  dice: Dice,
  { peerId, idToken, roomId, token, strangers }: Sender,
): Record<string, unknown> {
  const from = dice.roll(4) > 0 ? peerId : dice.pick(strangers);
  const to = dice.roll(2) > 0 ? peerId : dice.pick(strangers);
  const payload = { app_message_type: "job_request", job_id: "1", config: { epochs: 3 } };
  const mesh = { from_peer_id: from, target_peer_id: to };
  const properties = { status: "busy", storage_backends: ["vast"], gpu_memory_mb: dice.roll(100_000) };
  const job = {
    id: "job-0123456789",
    kind: "train",
    requires: { storage: "vast" },
    bytes: dice.roll(1_000_000),
  };
  return dice.pick<Record<string, unknown>>([
    {
      type: "register",
      peer_id: from,
      room_id: dice.roll(4) > 0 ? roomId : dice.pick(strangers),
      token,
      id_token: idToken,
      role: dice.pick(["worker", "client", "peer", "odd"]),
      is_admin: dice.roll(2) > 0,
      metadata: { tags: ["sleap-rtc"], properties },
      sleap_rtc: { version: "0.1.0", features: ["queue"] },
    },
    {
      type: "discover_peers",
      from_peer_id: from,
      filters: { role: "worker", tags: ["sleap-rtc"], properties },
    },
    { type: "update_metadata", peer_id: from, metadata: { properties } },
    { type: "peer_message", from_peer_id: from, to_peer_id: to, payload },
    { type: dice.pick(["offer", "answer", "candidate", "quit"]), sender: from, target: to, sdp: "v=0" },
    { type: "relay", sender: from, target: to, data: "AAAA" },
    { type: "error", target: to, reason: "busy" },
    { type: "mesh_connect", ...mesh, offer: payload },
    { type: "mesh_answer", ...mesh, answer: payload },
    { type: "ice_candidate", ...mesh, candidate: payload },
    { type: "job_submit", job },
    { type: "job_withdraw", job: job.id },
    { type: "job_answer", job: job.id, accepted: dice.roll(2) > 0 },
    { type: "job_report", job: job.id, state: dice.pick(["held", "running", "done", "released"]) },
  ]);
}

function object(fields: readonly (readonly [string, string])[]): string {
  return `{${fields.map(([key, value]) => `${JSON.stringify(key)}:${value}`).join(",")}}`;
}

function rubbish(dice: Dice): string | Uint8Array<ArrayBuffer> {
  switch (dice.roll(4)) {
    case 0:
      return dice.pick(ODD);
    case 1:
      return dice.bytes(199);
    case 2:
      return String.fromCharCode(...Array.from({ length: dice.roll(200) }, () => dice.roll(0x10000)));
    default:
      return "";
  }
}
