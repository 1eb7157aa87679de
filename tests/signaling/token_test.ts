import assert from "node:assert/strict";
import { SignJWT } from "jose";
import { MemoryStore } from "../../signaling/store.ts";
import { TokenError, Tokens } from "../../signaling/token.ts";
import { createRoom, registration, TestPeer, tokenFor, withRoom, withServer } from "./test_peer.ts";

const DAY_MS = 86_400_000;

function refused(kind: TokenError["kind"]): (error: unknown) => boolean {
  return (error) => error instanceof TokenError && error.kind === kind;
}

Deno.test("a token says whose it is, and ends after thirty days", async () => {
  let now = 1_700_000_000_000;
  const tokens = await Tokens.open(new MemoryStore(), () => now);
  const { idToken, username } = await tokens.issue();
  now += 30 * DAY_MS - 1000;
  const claims = await tokens.verify(idToken);
  assert.equal(claims.username, username);
  assert.notEqual(claims.id, (await tokens.verify((await tokens.issue()).idToken)).id);
  now += 2000;
  await assert.rejects(tokens.verify(idToken), refused("expired"));
});

Deno.test("tokens outlive the server's process, and count at servers that share its store", async () => {
  const store = new MemoryStore();
  const [first, other] = await Promise.all([Tokens.open(store), Tokens.open(store)]);
  const [one, two] = [await first.issue("one"), await other.issue("two")];
  const later = await Tokens.open(store);
  for (const tokens of [first, other, later]) {
    assert.equal((await tokens.verify(one.idToken)).username, "one");
    assert.equal((await tokens.verify(two.idToken)).username, "two");
  }
  const stranger = await Tokens.open(new MemoryStore());
  await assert.rejects(stranger.verify(one.idToken), refused("invalid"));
});

Deno.test("a server that started first learns the key of a later one", async () => {
  let now = 1_700_000_000_000;
  const [mine, theirs] = [new MemoryStore(), new MemoryStore()];
  const first = await Tokens.open(mine, () => now);
  const second = await Tokens.open(theirs, () => now);
  const { idToken } = await second.issue("late");
  await assert.rejects(first.verify(idToken), refused("invalid"));
  for (const [name, value] of await theirs.all("setting")) await mine.put("setting", name, value);
  now += 2000;
  assert.equal((await first.verify(idToken)).username, "late");
});

Deno.test("a revoked token is refused, also after a restart, until it would have expired", async () => {
  let now = 1_700_000_000_000;
  const store = new MemoryStore();
  const tokens = await Tokens.open(store, () => now);
  const [bad, good] = [await tokens.issue("bad"), await tokens.issue("good")];
  await tokens.revoke("bad");
  await assert.rejects(tokens.verify(bad.idToken), refused("revoked"));
  const again = await Tokens.open(store, () => now);
  await assert.rejects(again.verify(bad.idToken), refused("revoked"));
  await again.revoke((await again.verify(good.idToken)).id);
  await assert.rejects(again.verify(good.idToken), refused("revoked"));
  assert.equal((await again.verify((await again.issue("good")).idToken)).username, "good");
  // The other server has not read it yet.
  await tokens.verify(good.idToken);
  now += 11_000;
  await assert.rejects(tokens.verify(good.idToken), refused("revoked"));
  now += 30 * DAY_MS;
  await assert.rejects(tokens.verify(bad.idToken), refused("expired"));
  await Tokens.open(store, () => now);
  assert.equal((await store.all("revoked")).size, 0);
});

Deno.test("forged tokens are refused", async () => {
  const tokens = await Tokens.open(new MemoryStore());
  const { idToken } = await tokens.issue("a");
  const [header = "", payload = "", signature = ""] = idToken.split(".");
  const encode = (value: object): string => btoa(JSON.stringify(value)).replaceAll("=", "");
  const { kid } = JSON.parse(atob(header));
  const otherKey = await new SignJWT({ sub: "a" }).setProtectedHeader({ alg: "HS256", kid }).setIssuer(
    "sleap-rtc",
  )
    .setJti("1").setExpirationTime("1h").sign(new Uint8Array(32));
  const forged = [
    "",
    "x.y.z",
    `${encode({ alg: "none", kid })}.${payload}.`,
    `${encode({ alg: "none" })}.${payload}.${signature}`,
    `${encode({ alg: "HS256" })}.${payload}.${signature}`,
    `${encode({ alg: "HS256", kid: "unknown" })}.${payload}.${signature}`,
    `${header}.${encode({ ...JSON.parse(atob(payload)), sub: "b" })}.${signature}`,
    otherKey,
  ];
  for (const token of forged) await assert.rejects(tokens.verify(token), refused("invalid"), token);
});

Deno.test("a peer id is its token's user, and nobody registers as another", () =>
  withRoom(async (room, join) => {
    const worker = await join("w", { role: "worker" });
    await worker.next();
    const thief = await join("w", { id_token: await tokenFor(room.server, "thief") });
    assert.deepEqual(await thief.next(), { type: "error", reason: "Token belongs to another peer" });
    const client = await join("c");
    await client.next();
    client.send({ type: "quit", sender: "c", target: "w" });
    assert.equal((await worker.next())["type"], "quit");
  }));

Deno.test("a token registers at a server that was started anew over the same store", async () => {
  const store = new MemoryStore();
  let idToken = "";
  await withServer(async (server) => void (idToken = await tokenFor(server, "w")), [], { store });
  await withServer(
    async (server) => {
      const room = await createRoom(server);
      const peer = await TestPeer.open(server.wsUrl);
      const answer = await peer.ask({ ...await registration(room, "w"), id_token: idToken });
      assert.equal(answer["type"], "registered_auth");
      await peer.close();
    },
    [],
    { store },
  );
});
