import assert from "node:assert/strict";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { SqliteStore } from "../../signaling/sqlite_store.ts";
import { withServer } from "./test_peer.ts";

const script = fileURLToPath(new URL("../../signaling/main.ts", import.meta.url));

function command(...args: string[]): Deno.Command {
  return new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", script, "--store", "memory", ...args],
    stdout: "piped",
    stderr: "piped",
  });
}

async function run(...args: string[]): Promise<{ code: number; stdout: string; stderr: string }> {
  const { code, stdout, stderr } = await command(...args).output();
  const decoder = new TextDecoder();
  return { code, stdout: decoder.decode(stdout), stderr: decoder.decode(stderr) };
}

Deno.test({
  name: "--json tells the addresses in one line; SIGTERM ends with 0",
  ignore: Deno.build.os === "windows",
  fn: async () => {
    const child = command("--host", "127.0.0.1", "--http-port", "0", "--ws-port", "0", "--json").spawn();
    const stderr = new Response(child.stderr).text();
    const lines = child.stdout.pipeThrough(new TextDecoderStream());
    const reader = lines.getReader();
    const { value } = await reader.read();
    const ready = JSON.parse(value ?? "");
    assert.equal(ready.event, "listening");
    const response = await fetch(`${ready.http}/health`);
    assert.equal((await response.json()).status, "healthy");
    const socket = new WebSocket(ready.websocket);
    const closed = new Promise<CloseEvent>((resolve) => socket.onclose = resolve);
    await new Promise((resolve) => socket.onopen = resolve);
    child.kill("SIGTERM");
    assert.equal((await closed).code, 1001);
    assert.equal((await child.status).code, 0);
    assert.equal((await reader.read()).done, true);
    assert.doesNotMatch(await stderr, /error/i);
  },
});

Deno.test("mistakes are one line and a hint", async () => {
  const port = await run("--http-port", "70000");
  assert.equal(port.code, 2);
  assert.match(port.stderr, /error: "70000" is no port\nhint: a port is a whole number from 0 to 65535\n/);
  const limit = await run("--relay-limit", "fast");
  assert.equal(limit.code, 2);
  assert.match(limit.stderr, /error: --relay-limit: "fast" is no rate\nhint: write MiB a second/);
  const option = await run("--nonsense");
  assert.equal(option.code, 2);
  assert.match(option.stderr, /error: unknown option '--nonsense'/);
});

Deno.test("a port in use ends with 1", () =>
  withServer(async (server) => {
    const taken = new URL(server.httpUrl).port;
    const { code, stderr } = await run("--host", "127.0.0.1", "--http-port", taken, "--ws-port", "0");
    assert.equal(code, 1);
    assert.match(stderr, new RegExp(`error: port ${taken} is in use\nhint: `));
  }));

Deno.test("a store that is in use, and one that is none, end the program", async () => {
  const folder = await Deno.makeTempDir({ prefix: "sleap-rtc-store-" });
  const store = await SqliteStore.open(join(folder, "store.db"));
  try {
    const used = await run("--store", `sqlite:${join(folder, "store.db")}`);
    assert.equal(used.code, 1);
    assert.match(used.stderr, /error: the store .*store\.db is in use by another server\nhint: /);
    const none = await run("--store", "postgres://user:secret@host/db");
    assert.equal(none.code, 2);
    assert.match(
      none.stderr,
      /error: --store: "postgres:.*" is no store\nhint: write memory, sqlite:PATH or redis:/,
    );
    assert.doesNotMatch(none.stderr, /secret/);
  } finally {
    await store.close();
    await Deno.remove(folder, { recursive: true });
  }
});

Deno.test("a password of Redis is taken from the environment only, and shown by no error", async () => {
  const password = "geheim";
  // Nothing listens at port 1.
  const url = `redis://lab:${password}@127.0.0.1:1/0`;
  const flag = await run("--store", url);
  assert.equal(flag.code, 2);
  assert.match(
    flag.stderr,
    /error: --store: a password on the command line .*\nhint: .* set SLEAP_RTC_STORE /,
  );
  const args = ["run", "-A", script, "--http-port", "0", "--ws-port", "0"];
  const { code, stderr } = await new Deno.Command(Deno.execPath(), {
    args,
    env: { SLEAP_RTC_STORE: url },
  }).output();
  const text = new TextDecoder().decode(stderr);
  assert.equal(code, 1);
  assert.match(text, /error: cannot use Redis at redis:\/\/\*\*\*@127\.0\.0\.1:1\/0: /);
  for (const each of [flag.stderr, text]) assert.doesNotMatch(each, new RegExp(password));
});

Deno.test("help has examples", async () => {
  const { code, stdout } = await run("--help");
  assert.equal(code, 0);
  assert.match(stdout, /Examples:\n/);
});
