import assert from "node:assert/strict";
import { LabProcess } from "../../scripts/local_lab.ts";
import { runArguments } from "../../scripts/programs.ts";
import { ConfigError } from "../../config/user_error.ts";
import { startSignaling } from "../../signaling/server.ts";
import { type Certificates, shownBy, withCertificates } from "./certificates.ts";

/** A server process with TLS, and where it listens. */
async function serve(
  cert: string,
  key: string,
): Promise<{ server: LabProcess; http: string; websocket: string; port: number }> {
  const args = [
    Deno.execPath(),
    ...runArguments("signaling/main.ts"),
    "--host",
    "127.0.0.1",
    "--store",
    "memory",
  ];
  const flags = ["--http-port", "0", "--ws-port", "0", "--tls-cert", cert, "--tls-key", key, "--json"];
  const server = new LabProcess([...args, ...flags]);
  const { http, websocket } = JSON.parse(await server.line(/"listening"/));
  return { server, http, websocket, port: Number(new URL(http).port) };
}

async function stop(server: LabProcess): Promise<void> {
  server.kill("SIGTERM");
  await server.exited();
}

/** What a Deno program of its own says that signs in and opens a socket. */
async function visit(http: string, websocket: string, env: Record<string, string>): Promise<string> {
  const code = `
    const answer = await fetch(${JSON.stringify(http)} + "/anonymous-signin", { method: "POST" });
    console.log("signed in", answer.status);
    const socket = new WebSocket(${JSON.stringify(websocket)});
    socket.onopen = () => { console.log("open"); socket.close(); };
    socket.onerror = () => console.log("no socket");`;
  const args = ["eval", "--no-config", code];
  const { stdout, stderr } = await new Deno.Command(Deno.execPath(), { args, env }).output();
  return new TextDecoder().decode(stdout) + new TextDecoder().decode(stderr);
}

Deno.test("with a certificate all is encrypted, and whoever trusts the authority gets in", () =>
  withCertificates(async ({ authority, issue }) => {
    const { cert, key } = await issue("first");
    const { server, http, websocket } = await serve(cert, key);
    try {
      assert.match(http, /^https:/);
      assert.match(websocket, /^wss:/);
      assert.match(await visit(http, websocket, { DENO_CERT: authority }), /signed in 200\nopen\n/);
      assert.match(await visit(http, websocket, { DENO_TLS_CA_STORE: "mozilla" }), /UnknownIssuer/);
      await assert.rejects(fetch(http.replace("https", "http")));
    } finally {
      await stop(server);
    }
  }));

Deno.test({
  name: "SIGHUP reads a renewed certificate; a broken one changes nothing",
  ignore: Deno.build.os === "windows",
  fn: () =>
    withCertificates(async ({ authority, issue }) => {
      const [first, second] = [await issue("first"), await issue("second")];
      const { server, http, websocket, port } = await serve(first.cert, first.key);
      try {
        assert.equal(await shownBy(port), "first");
        await Deno.copyFile(second.cert, first.cert);
        server.kill("SIGHUP");
        await server.line(/could not be renewed: .*are no certificate and its key/);
        assert.equal(await shownBy(port), "first");
        await Deno.copyFile(second.key, first.key);
        server.kill("SIGHUP");
        await server.line(/certificate was read anew/);
        assert.equal(await shownBy(port), "second");
        assert.match(await visit(http, websocket, { DENO_CERT: authority }), /signed in 200\nopen\n/);
      } finally {
        await stop(server);
      }
    }),
});

Deno.test("what is no certificate and its key is told", () =>
  withCertificates(async (certificates: Certificates) => {
    const { cert, key } = await certificates.issue("one");
    const other = await certificates.issue("other");
    const complaint = async (...flags: string[]): Promise<string> => {
      const args = [
        ...runArguments("signaling/main.ts"),
        "--store",
        "memory",
        "--http-port",
        "0",
        "--ws-port",
        "0",
        ...flags,
      ];
      const { code, stderr } = await new Deno.Command(Deno.execPath(), { args }).output();
      assert.equal(code, 2);
      return new TextDecoder().decode(stderr);
    };
    assert.match(await complaint("--tls-cert", cert), /belong together\nhint: give both/);
    assert.match(
      await complaint("--tls-cert", `${cert}x`, "--tls-key", key),
      /--tls-cert: cannot read .*x: /,
    );
    assert.match(
      await complaint("--tls-cert", cert, "--tls-key", other.key),
      /are no certificate and its key: /,
    );
    assert.match(await complaint("--tls-cert", key, "--tls-key", key), /are no certificate and its key: /);
    const tls = { cert: "x", key: "y" };
    await assert.rejects(startSignaling({ httpPort: 0, wsPort: 0, tls }), ConfigError);
  }));
