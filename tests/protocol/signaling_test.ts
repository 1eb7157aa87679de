import assert from "node:assert/strict";
import {
  createdRoomSchema,
  extensionSchema,
  iceServerSchema,
  metadataSchema,
  peerInfoSchema,
  serverMessageSchema,
  signInSchema,
} from "../../protocol/signaling.ts";
import { EXTENSION, VERSION } from "../../protocol/extension.ts";

const OFFER = { type: "offer", sender: "a", target: "b", sdp: "v=0" };

Deno.test("an offer and an answer keep unknown keys", () => {
  for (const type of ["offer", "answer"]) {
    const message = { ...OFFER, type, more: [1] };
    assert.deepEqual(serverMessageSchema.parse(message), message);
  }
});

Deno.test("an offer without sender, target or description is refused", () => {
  for (const key of ["sender", "target", "sdp"]) {
    assert.equal(serverMessageSchema.safeParse({ ...OFFER, [key]: undefined }).success, false);
    assert.equal(serverMessageSchema.safeParse({ ...OFFER, [key]: 1 }).success, false);
  }
});

Deno.test("this program's extension is read; a broken one counts as absent", () => {
  assert.deepEqual(extensionSchema.parse(EXTENSION), EXTENSION);
  assert.match(VERSION, /^\d+\.\d+\.\d+/);
  const read = (sleap_rtc: unknown): unknown => {
    const message = serverMessageSchema.parse({ ...OFFER, sleap_rtc });
    return message.type === "offer" ? message.sleap_rtc : "no offer";
  };
  assert.deepEqual(read(EXTENSION), EXTENSION);
  for (const broken of [null, 1, "1.0", [], { version: 1, features: [] }, { version: "1" }]) {
    assert.equal(read(broken), undefined);
  }
});

Deno.test("a relay key is kept; a broken one is no reason to take the peer for another program's", () => {
  const relay = "zo060cy2M-x7cMF4FKXHbs0CloUFDTRHRboFhw5YfVk";
  assert.equal(extensionSchema.parse({ ...EXTENSION, relay }).relay, relay);
  for (
    const broken of [null, 1, "", relay.slice(1), `${relay}=`, `${relay}${relay}`, relay.replace("-", "+")]
  ) {
    assert.deepEqual(extensionSchema.parse({ ...EXTENSION, relay: broken }), {
      ...EXTENSION,
      relay: undefined,
    });
  }
});

Deno.test("relayed data is a text within its limit", () => {
  const message = { type: "relay", sender: "a", target: "b", data: "x".repeat(128 * 1024) };
  assert.deepEqual(serverMessageSchema.parse(message), message);
  for (const data of [undefined, 1, `${message.data}x`]) {
    assert.equal(serverMessageSchema.safeParse({ ...message, data }).success, false);
  }
});

Deno.test("registration is read although its optional parts are broken", () => {
  const message = { type: "registered_auth", room_id: "r", token: "t", peer_id: "p" };
  assert.deepEqual(serverMessageSchema.parse(message), message);
  const broken = serverMessageSchema.parse({ ...message, ice_servers: "none", peer_metadata: 3 });
  assert.equal(broken.type, "registered_auth");
  const nulls = serverMessageSchema.parse({ ...message, peer_metadata: { a: null, b: { tags: ["x"] } } });
  assert.deepEqual(nulls, { ...message, peer_metadata: { a: null, b: { tags: ["x"] } } });
});

Deno.test("registration without room, token or id is refused", () => {
  const message: Record<string, unknown> = {
    type: "registered_auth",
    room_id: "r",
    token: "t",
    peer_id: "p",
  };
  for (const key of ["room_id", "token", "peer_id"]) {
    assert.equal(serverMessageSchema.safeParse({ ...message, [key]: undefined }).success, false);
  }
});

Deno.test("an ice server has no key that the Python client does not know", () => {
  const known = { urls: ["stun:a", "turn:b"], username: "u", credential: "c", credentialType: "password" };
  assert.deepEqual(iceServerSchema.parse({ ...known, tls: true }), known);
  assert.deepEqual(iceServerSchema.parse({ urls: "stun:a" }), { urls: "stun:a" });
  assert.equal(iceServerSchema.safeParse({ url: "stun:a" }).success, false);
});

Deno.test("a list of peers keeps what peers tell", () => {
  const peers = [
    { peer_id: "w", role: "worker", metadata: { tags: ["x"], properties: { gpu: { mb: 1 } }, more: 1 } },
    { peer_id: "c", role: null, metadata: null },
    { peer_id: "d", connected_at: 5 },
  ];
  assert.deepEqual(serverMessageSchema.parse({ type: "peer_list", peers }), { type: "peer_list", peers });
  assert.equal(peerInfoSchema.safeParse({ role: "worker" }).success, false);
});

Deno.test("metadata of a wrong kind is refused", () => {
  assert.equal(metadataSchema.safeParse({ tags: "x" }).success, false);
  assert.equal(metadataSchema.safeParse({ tags: [1] }).success, false);
  assert.equal(metadataSchema.safeParse({ properties: [] }).success, false);
  assert.equal(metadataSchema.safeParse(null).success, false);
});

Deno.test("messages between peers carry an object", () => {
  const message = { type: "peer_message", from_peer_id: "a", payload: { type: "job_request", deep: [{}] } };
  assert.deepEqual(serverMessageSchema.parse(message), message);
  for (const payload of [null, "text", undefined]) {
    assert.equal(serverMessageSchema.safeParse({ ...message, payload }).success, false);
  }
});

Deno.test("errors come with a reason, or with code and text", () => {
  for (
    const rest of [{ reason: "Room not found" }, { code: "NOT_IN_ROOM", message: "Peer not in any room" }, {}]
  ) {
    assert.deepEqual(serverMessageSchema.parse({ type: "error", ...rest }), { type: "error", ...rest });
  }
});

Deno.test("what is no message of a server is refused, not thrown upon", () => {
  const strange = [null, undefined, 1, "offer", [], {}, { type: "candidate" }, { type: "__proto__" }, {
    error: "Invalid token",
  }];
  for (const each of strange) assert.equal(serverMessageSchema.safeParse(each).success, false);
});

Deno.test("the answers of the HTTP side need what is used of them", () => {
  assert.deepEqual(signInSchema.parse({ id_token: "a", username: "b", more: 1 }), {
    id_token: "a",
    username: "b",
  });
  assert.equal(signInSchema.safeParse({ id_token: "", username: "b" }).success, false);
  assert.deepEqual(createdRoomSchema.parse({ room_id: "a", token: "b" }), { room_id: "a", token: "b" });
  assert.equal(createdRoomSchema.safeParse({ room_id: "a" }).success, false);
});
