import assert from "node:assert/strict";
import fc from "fast-check";
import { EXTENSION, extensionWith, ROOM_PROOF } from "../../protocol/extension.ts";
import { KEEP_ALIVE } from "../../protocol/message.ts";
import type { Channel } from "../../rtc/channel.ts";
import {
  checkRoomProof,
  PeerProofError,
  peerProofs,
  type PeerRole,
  type ProofOptions,
  provePeer,
} from "../../rtc/peer_proof.ts";
import { ConnectionError } from "../../rtc/transfer_error.ts";
import { linkedChannels } from "./fake_native.ts";
import { readAll, take } from "./read.ts";
import { relay } from "./relay.ts";

const SECRET = "correct horse battery staple";
const BINDING = "sha-256 AA sha-256 BB";
const NONCE = "7".repeat(64);

const ROLES: readonly { role: PeerRole; other: PeerRole }[] = [
  { role: "client", other: "worker" },
  { role: "worker", other: "client" },
];

function prove(channel: Channel, role: PeerRole, options: Partial<ProofOptions> = {}): Promise<void> {
  return provePeer(channel, { role, secret: SECRET, binding: BINDING, limitMs: 5_000, ...options });
}

/** What becomes of both sides: `proven`, or the name of the error. */
async function outcomes(
  near: Channel,
  far: Channel,
  client: Partial<ProofOptions> = {},
  worker: Partial<ProofOptions> = {},
): Promise<string[]> {
  const ended = await Promise.allSettled([prove(near, "client", client), prove(far, "worker", worker)]);
  return ended.map((each) => each.status === "fulfilled" ? "proven" : (each.reason as Error).name);
}

const REFUSED = ["PeerProofError", "PeerProofError"];

/** Checks that a side refuses, in these words, and leaves no open channel behind. */
async function refuses(proving: Promise<void>, channel: Channel, text: RegExp): Promise<void> {
  await assert.rejects(proving, (error: unknown) => {
    assert.ok(error instanceof PeerProofError && error instanceof ConnectionError, String(error));
    assert.match(error.message, text);
    assert.match(error.hint ?? "", /SLEAP_RTC_ROOM_SECRET/);
    assert.ok(!error.message.includes(SECRET));
    return true;
  });
  assert.equal(channel.isOpen, false);
}

Deno.test("proof: the proofs are as the protocol's test vector has them", async () => {
  const text = await Deno.readTextFile(new URL("../../docs/protocol.md", import.meta.url));
  const section = text.slice(text.indexOf("## Peer authentication"));
  const of = (key: string): string => new RegExp(`^${key} += (.*)$`, "m").exec(section)?.[1] ?? "";
  const proofs = await peerProofs({
    secret: of("secret"),
    clientNonce: of("client nonce"),
    workerNonce: of("worker nonce"),
    binding: of("binding"),
  });
  assert.deepEqual(proofs, { client: of("client proof"), worker: of("worker proof") });
});

Deno.test("proof: both sides know the secret, and the channel is free for what comes after", async () => {
  const { near, far, nearNative, farNative } = linkedChannels();
  await near.send(KEEP_ALIVE);
  assert.deepEqual(await outcomes(near, far), ["proven", "proven"]);
  const said = [...nearNative.sent.slice(1), ...farNative.sent];
  assert.deepEqual(said.map((each) => String(each).split("::")[0]), [
    "PEER_CHALLENGE",
    "PEER_PROOF",
    "PEER_CHALLENGE",
    "PEER_PROOF",
  ]);
  assert.equal(new Set(said).size, 4);
  await near.send("FILE_META::a:1:");
  assert.deepEqual(await take(far, 1), ["FILE_META::a:1:"]);
});

Deno.test("proof: what the client says right after is not lost while the worker still proves", async () => {
  const { near, far } = linkedChannels();
  const worker = prove(far, "worker");
  await prove(near, "client");
  await near.send("USER_SUBDIR::ada");
  await worker;
  assert.deepEqual(await take(far, 1), ["USER_SUBDIR::ada"]);
});

Deno.test("proof: another secret is refused by both, and the worker tells no proof", async () => {
  const { near, far, farNative } = linkedChannels();
  assert.deepEqual(await outcomes(near, far, { secret: `${SECRET}!` }), REFUSED);
  assert.deepEqual(farNative.sent.map((each) => String(each).split("::")[0]), ["PEER_CHALLENGE"]);
  assert.ok(!near.isOpen && !far.isOpen);
});

Deno.test("proof: swapped fingerprints are another binding, and refused by both", async () => {
  const { near, far } = linkedChannels();
  assert.deepEqual(await outcomes(near, far, { binding: "sha-256 BB sha-256 AA" }), REFUSED);
});

Deno.test("proof: who hands on every message between two connections is refused by both", async () => {
  const [left, right] = [linkedChannels(), linkedChannels()];
  const heard = relay(left.far, right.near);
  const [client, worker] = [{ binding: "sha-256 AA sha-256 EE" }, { binding: "sha-256 EE sha-256 BB" }];
  assert.deepEqual(await outcomes(left.near, right.far, client, worker), REFUSED);
  assert.equal((await heard).length, 3, "two challenges and the client's proof");
});

Deno.test("proof: another secret, binding or role makes another proof", async () => {
  const facts = fc.record({
    secret: fc.string({ unit: "binary", minLength: 1, maxLength: 40 }).filter((each) => each.isWellFormed()),
    binding: fc.string({ maxLength: 40 }),
  });
  const nonces = { clientNonce: NONCE, workerNonce: NONCE };
  await fc.assert(
    fc.asyncProperty(facts, facts, async (one, two) => {
      const [first, second] = [
        await peerProofs({ ...nonces, ...one }),
        await peerProofs({ ...nonces, ...two }),
      ];
      const isSame = one.secret === two.secret && one.binding === two.binding;
      assert.equal(new Set([...Object.values(first), ...Object.values(second)]).size, isSame ? 2 : 4);
    }),
    { numRuns: 20 },
  );
});

Deno.test("proof: two sides pass exactly when they have the same secret and binding", async () => {
  const secret = fc.constantFrom(SECRET, "another secret of some length", "Correct horse battery staple");
  const binding = fc.constantFrom(BINDING, "sha-256 AA sha-256 CC", "sha-256 CC sha-256 BB", "");
  const facts = fc.record({ secret, binding });
  await fc.assert(
    fc.asyncProperty(facts, facts, async (client, worker) => {
      const { near, far } = linkedChannels();
      const isSame = client.secret === worker.secret && client.binding === worker.binding;
      assert.deepEqual(await outcomes(near, far, client, worker), isSame ? ["proven", "proven"] : REFUSED);
    }),
    { numRuns: 20 },
  );
});

for (const { role, other } of ROLES) {
  Deno.test(`proof: a ${role} is not fooled by its own challenge and proof sent back`, async () => {
    const { near, far } = linkedChannels();
    // A worker gives up only at the limit; a client must not meet it on a busy machine.
    const proving = prove(near, role, { limitMs: role === "client" ? 30_000 : 1_000 });
    const echo = (async (): Promise<void> => {
      for await (const message of far) await far.send(message);
    })();
    await refuses(proving, near, role === "client" ? /proof of the room secret is wrong/ : /did not prove/);
    await echo;
  });

  Deno.test(`proof: what a ${other} once said does not convince a ${role} again`, async () => {
    const first = linkedChannels();
    assert.deepEqual(await outcomes(first.near, first.far), ["proven", "proven"]);
    const recorded = (role === "client" ? first.farNative : first.nearNative).sent;
    const { near, far } = linkedChannels();
    const proving = prove(near, role);
    for (const message of recorded) await far.send(message);
    await refuses(proving, near, new RegExp(`the ${other}'s proof of the room secret is wrong`));
  });

  Deno.test(`proof: a ${role} waits no longer than its limit for a silent ${other}`, async () => {
    const { near, far } = linkedChannels();
    const proving = prove(near, role, { limitMs: 50 });
    await far.send(KEEP_ALIVE);
    await refuses(proving, near, new RegExp(`the ${other} did not prove within 0\\.05 s .* has it one\\?`));
  });

  Deno.test(`proof: a ${role} whose ${other} falls silent after the challenge gives up as well`, async () => {
    const { near, far } = linkedChannels();
    const proving = prove(near, role, { limitMs: 600 });
    await far.send(`PEER_CHALLENGE::${NONCE}`);
    await refuses(proving, near, /did not prove within 0\.6 s/);
  });

  for (
    const [message, found] of [
      ["JOB_ID::job_1", "JOB_ID"],
      ["any text \x1b[2J", "LOG"],
      ["", "LOG"],
      [new Uint8Array(10), "bytes"],
      [`PEER_PROOF::${NONCE}`, "PEER_PROOF"],
      ["PEER_CHALLENGE::12", "a malformed PEER_CHALLENGE"],
      [`PEER_CHALLENGE::${NONCE.toUpperCase()}a`, "a malformed PEER_CHALLENGE"],
      [`PEER_CHALLENGE::${NONCE}\n`, "a malformed PEER_CHALLENGE"],
    ] as const
  ) {
    Deno.test(`proof: a ${role} hears no ${JSON.stringify(message).slice(0, 30)} at first`, async () => {
      const { near, far } = linkedChannels();
      const proving = prove(near, role);
      await far.send(message);
      await refuses(proving, near, new RegExp(`found ${found}, expected PEER_CHALLENGE$`));
    });
  }

  Deno.test(`proof: a ${role} hears nothing else between challenge and proof`, async () => {
    for (
      const [message, found] of [["JOB_ID::j", "JOB_ID"], [`PEER_CHALLENGE::${NONCE}`, "PEER_CHALLENGE"]]
    ) {
      const { near, far } = linkedChannels();
      const proving = prove(near, role);
      await far.send(`PEER_CHALLENGE::${NONCE}`);
      await far.send(message!);
      await refuses(proving, near, new RegExp(`found ${found}, expected PEER_PROOF$`));
    }
  });

  Deno.test(`proof: a ${role} says when the ${other} hangs up`, async () => {
    const { near, far } = linkedChannels();
    const proving = prove(near, role);
    far.close();
    await refuses(proving, near, new RegExp(`the ${other} hung up before the room secret was proven`));
  });

  Deno.test(`proof: a ${role} that is stopped ends with the reason and closes`, async () => {
    const { near } = linkedChannels();
    const stop = new AbortController();
    const proving = prove(near, role, { signal: stop.signal });
    setTimeout(() => stop.abort(new Error("stopped")), 10);
    await assert.rejects(proving, /^Error: stopped$/);
    assert.equal(near.isOpen, false);
    await assert.rejects(prove(linkedChannels().near, role, { signal: stop.signal }), /^Error: stopped$/);
  });

  Deno.test(`proof: a ${role} cannot prove anything over a closed channel`, async () => {
    const { near } = linkedChannels();
    near.close();
    await assert.rejects(prove(near, role), ConnectionError);
  });
}

Deno.test("proof: a client that is proven nothing says its challenge and its proof only", async () => {
  const { near, far } = linkedChannels();
  const heard = readAll(far);
  const proving = prove(near, "client");
  await far.send(`PEER_CHALLENGE::${NONCE}`);
  await far.send(`PEER_PROOF::${NONCE}`);
  await refuses(
    proving,
    near,
    /the worker's proof of the room secret is wrong: .* somebody is in the middle/,
  );
  assert.deepEqual((await heard).map((each) => String(each).split("::")[0]), [
    "PEER_CHALLENGE",
    "PEER_PROOF",
  ]);
});

Deno.test("proof: the feature is named where there is a secret, and the secret is not", () => {
  assert.deepEqual(extensionWith(undefined), EXTENSION);
  assert.deepEqual(extensionWith(SECRET).features, [...EXTENSION.features, ROOM_PROOF]);
  assert.ok(!JSON.stringify(extensionWith(SECRET)).includes(SECRET));
});

Deno.test("proof: a client learns early that only one side has a secret", () => {
  checkRoomProof(undefined, ["same-storage"]);
  checkRoomProof(SECRET, ["same-storage", ROOM_PROOF]);
  assert.throws(() => checkRoomProof(undefined, [ROOM_PROOF]), /the worker asks for a room secret/);
  assert.throws(() => checkRoomProof(SECRET, []), /the worker has none/);
});
