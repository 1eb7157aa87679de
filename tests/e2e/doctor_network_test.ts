import assert from "node:assert/strict";
import { createSocket } from "node:dgram";
import { join } from "node:path";
import { withTempDir } from "../storage/temp.ts";
import type { Finding } from "../../config/checkup.ts";
import { type DoctorRun, runDoctor } from "./doctor_run.ts";
import { withLab } from "./lab.ts";
import { whyNoNamespaces, withNamespaces } from "./namespaces.ts";
import { TURN_PASSWORD, TURN_PORT, TURN_USER, withTurn } from "./turn.ts";

/** Runs something while a signaling server's HTTP side answers `/health` with this, and everything else with 404. */
async function withHealth(
  health: (url: string) => Response | Promise<Response>,
  use: (env: Record<string, string>) => Promise<void>,
  tls: { cert: string; key: string } | Record<never, never> = {},
): Promise<void> {
  const handler = (request: Request): Response | Promise<Response> =>
    new URL(request.url).pathname === "/health" ? health(request.url) : new Response("no", { status: 404 });
  const server = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen: () => {}, ...tls }, handler);
  const { port } = server.addr;
  const s = "cert" in tls ? "s" : "";
  try {
    await use({
      SLEAP_RTC_SIGNALING_HTTP: `http${s}://localhost:${port}`,
      SLEAP_RTC_SIGNALING_WS: `ws${s}://localhost:${port}`,
    });
  } finally {
    await server.shutdown();
  }
}

function doctor(dir: string, env: Record<string, string>, toml = ""): Promise<DoctorRun> {
  const config = join(dir, "config.toml");
  Deno.writeTextFileSync(config, toml);
  return runDoctor("client", config, [], { env, cwd: dir });
}

for (
  const [what, skewMs, status, detail] of [
    ["ahead of", -10 * 60_000, "warning", /^this machine's is [\d.]+ s ahead of the server's$/],
    ["behind", 3_600_000, "warning", /^this machine's is [\d.]+ s behind the server's$/],
    ["near", 20_000, "ok", /^[\d.]+ s from the server's$/],
  ] as const
) {
  Deno.test(`doctor: a clock ${what} the server's is ${status}`, () =>
    withTempDir(async (dir) => {
      const times = [
        (now: string): Response => Response.json({ status: "healthy", timestamp: now, version: "2.0.0" }),
        // As a Python server tells it, which is UTC; and one that leaves it to HTTP.
        (now: string): Response => Response.json({ timestamp: now.replace("Z", "123"), version: "2.0.0" }),
        (now: string): Response => Response.json({}, { headers: { date: new Date(now).toUTCString() } }),
      ];
      await Promise.all(times.map((tell) => {
        const health = (): Response => tell(new Date(Date.now() + skewMs).toISOString());
        return withHealth(health, async (env) => {
          const { detail: found, status: judged, figures } = (await doctor(dir, env)).find(/^clock$/);
          assert.match(found, detail);
          assert.equal(judged, status);
          assert.ok(Math.abs(Number(figures?.["difference_ms"]) + skewMs) < 15_000, found);
        });
      }));
    }));
}

Deno.test("doctor: a server that is another one, and one that never answers, are failures in bounded time", () =>
  withTempDir(async (dir) => {
    await withHealth(() => new Response("<html>hello\u001b[31m</html>"), async (env) => {
      const run = await doctor(dir, env);
      assert.equal(run.code, 1);
      const { status, detail, hint } = run.find(/^signaling server /);
      assert.equal(status, "failure");
      assert.match(detail, /answers 200, and is no signaling server$/);
      assert.match(hint ?? "", /SLEAP_RTC_SIGNALING_HTTP/);
      assert.match(run.find(/^WebSocket$/).detail, /refused \/anonymous-signin: 404/);
    });
    using silent = Deno.listen({ hostname: "127.0.0.1", port: 0 });
    const run = await doctor(dir, {
      SLEAP_RTC_SIGNALING_HTTP: `http://127.0.0.1:${silent.addr.port}`,
      SLEAP_RTC_SIGNALING_WS: `ws://127.0.0.1:${silent.addr.port}`,
    });
    assert.match(run.find(/^signaling server /).detail, /no answer within 8 s$/);
    assert.equal(run.find(/^WebSocket$/).status, "failure");
  }));

const hasOpenssl = await new Deno.Command("openssl", { args: ["version"], stdout: "null", stderr: "null" })
  .output().then(({ success }) => success, () => false);

/** A self-signed certificate for localhost. */
async function certificate(dir: string, days: number): Promise<{ cert: string; key: string; path: string }> {
  const [key, cert] = [join(dir, `key-${days}.pem`), join(dir, `cert-${days}.pem`)];
  const extensions = ["subjectAltName=DNS:localhost", "basicConstraints=critical,CA:FALSE"];
  const args = ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"];
  const all = [...args, "-keyout", key, "-out", cert, "-days", String(days), "-subj", "/CN=localhost"];
  const { success, stderr } = await new Deno.Command("openssl", {
    args: [...all, ...extensions.flatMap((extension) => ["-addext", extension])],
  }).output();
  assert.ok(success, new TextDecoder().decode(stderr));
  return { cert: await Deno.readTextFile(cert), key: await Deno.readTextFile(key), path: cert };
}

for (
  const [days, status, detail] of [
    [5, "warning", /^it expires on 20\d\d-\d\d-\d\d, in [45] days$/],
    [100, "ok", /^valid until 20\d\d-\d\d-\d\d$/],
  ] as const
) {
  Deno.test({
    name:
      `doctor: a certificate of ${days} days is ${status}, and one that is not trusted a failure of the server${
        hasOpenssl ? "" : " (skipped: needs openssl)"
      }`,
    ignore: !hasOpenssl,
    fn: () =>
      withTempDir(async (dir) => {
        const { path, ...tls } = await certificate(dir, days);
        const health = (): Response => Response.json({ version: "2.0.0" });
        await withHealth(health, async (env) => {
          const untrusted = await doctor(dir, env);
          const found = untrusted.find(/^certificate of localhost:\d+$/);
          assert.match(found.detail, detail);
          assert.equal(found.status, status);
          const refused = untrusted.find(/^signaling server /);
          assert.equal(refused.status, "failure");
          assert.match(refused.detail, /certificate/);
          assert.match(refused.hint ?? "", /DENO_CERT=FILE/);
          const trusted = await doctor(dir, { ...env, DENO_CERT: path });
          assert.equal(trusted.find(/^signaling server /).status, "ok", trusted.output);
        }, tls);
      }),
  });
}

Deno.test("doctor: each STUN and TURN server is tried, and what is wrong with one is said", () =>
  withTempDir(async (dir) => {
    // It takes packets and answers none.
    const silent = createSocket("udp4");
    await new Promise<void>((resolve) => silent.bind(0, "127.0.0.1", resolve));
    const { port } = silent.address();
    const toml = `[[default.ice_servers]]
urls = ["stun:127.0.0.1:${port}", "turns:127.0.0.1:${port}", "turn:no-such-host.invalid:3478"]
username = "user"
credential = "never shown"
`;
    const run = await doctor(dir, { SLEAP_RTC_SIGNALING_HTTP: "http://127.0.0.1:9" }, toml);
    silent.close();
    assert.equal(run.code, 1);
    assert.match(run.find(/^stun:/).detail, /^no answer by UDP within 3 s$/);
    assert.match(run.find(/^stun:/).hint ?? "", /UDP .* blocked by a firewall/);
    assert.match(run.find(/^turns:/).detail, /TCP and TLS are not supported/);
    assert.match(run.find(/^turn:no-such/).detail, /the host no-such-host\.invalid is not known/);
    assert.doesNotMatch(run.output, /never shown/);
  }));

const MISSING = await whyNoNamespaces(["turnserver"]);

Deno.test({
  name: `doctor: a TURN server with the right password gives a relay, with a wrong one it is a failure${
    MISSING === undefined ? "" : ` (skipped: ${MISSING})`
  }`,
  ignore: MISSING !== undefined,
  fn: () =>
    withNamespaces(["client"], { forwards: false }, ({ middle, leaves }) => {
      const look = (password: string, judge: (found: Finding) => void): Promise<void> => {
        const turn = ["--ice-server", `turn:${middle.address}:${TURN_PORT}`, "--ice-username", TURN_USER];
        const options = { prefix: middle.prefix, env: { SLEAP_RTC_ICE_CREDENTIAL: password } };
        return withLab(
          async ({ lab, folder }) => {
            const config = await lab.writeConfig("");
            const { prefix } = leaves.client;
            const run = await runDoctor("client", config, [], { env: lab.environment, prefix, cwd: folder });
            judge(run.find(/^turn:/));
            assert.doesNotMatch(run.output, new RegExp(password));
          },
          ["--host", middle.address, ...turn],
          options,
        );
      };
      return withTempDir(async (dir) => {
        await withTurn(middle, dir, async () => {
          await look(TURN_PASSWORD, ({ status, detail }) => {
            assert.match(detail, /^it answers in \d+ ms, and gives the relay 10\.77\.0\.1 port \d+$/);
            assert.equal(status, "ok");
          });
          await look("another-password", ({ status, detail, hint }) => {
            assert.match(detail, /^10\.77\.0\.1 port 3478 answers, but gives no relay$/);
            assert.match(hint ?? "", /are user and password right/);
            assert.equal(status, "failure");
          });
        });
        await look(TURN_PASSWORD, ({ status, detail }) => {
          assert.match(detail, /^no answer by UDP within 3 s$/);
          assert.equal(status, "failure");
        });
      });
    }),
});
