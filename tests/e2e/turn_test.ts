import assert from "node:assert/strict";
import { join } from "node:path";
import type { PackageOptions } from "../../examples/make_package.ts";
import type { ClientRun, WorkerHandle } from "../../scripts/local_lab.ts";
import { modelIn, packageIn, startWorker, type TestLab, withLab } from "./lab.ts";
import { type Star, whyNoNamespaces, withNamespaces } from "./namespaces.ts";
import { TURN_PASSWORD, TURN_PORT, TURN_USER, withTurn } from "./turn.ts";

const MISSING = await whyNoNamespaces(["turnserver"]);
const SKIPPED = MISSING === undefined ? "" : ` (skipped: ${MISSING})`;

/** Longer than the second after which the way is logged. */
const LONG_ENOUGH: PackageOptions = { config: { epoch_delay_s: 0.3 } };

interface TurnLab extends TestLab {
  star: Star<"client" | "worker">;
}

/** The signaling server in the middle tells everyone of the TURN server there, whether it runs or not. */
function withTurnLab(
  forwards: boolean,
  test: (lab: TurnLab) => Promise<void>,
  args: readonly string[] = [],
): Promise<void> {
  return withNamespaces(["client", "worker"], { forwards }, (star) => {
    const { address, prefix } = star.middle;
    const turn = ["--ice-server", `turn:${address}:${TURN_PORT}`, "--ice-username", TURN_USER];
    const env = { SLEAP_RTC_ICE_CREDENTIAL: TURN_PASSWORD };
    return withLab((lab) => test({ ...lab, star }), ["--host", address, ...turn, ...args], { prefix, env });
  });
}

/** A worker without storage, in its namespace. */
function worker(test: TurnLab, config = ""): Promise<WorkerHandle> {
  const { prefix } = test.star.leaves.worker;
  return startWorker(test, { backends: config, args: ["--verbose"], prefix });
}

/** Trains from the client's namespace; results are in `home/results`. */
async function train(
  test: TurnLab,
  { session }: WorkerHandle,
  { config = "", args = [] }: { config?: string; args?: string[] } = {},
): Promise<ClientRun> {
  const results = ["--output-dir", join(test.home, "results")];
  const command = [
    "train",
    await packageIn(test.home, LONG_ENOUGH),
    "--session-string",
    session,
    ...results,
    "--verbose",
  ];
  const run = await test.lab.runClient(config, [...command, ...args], {
    prefix: test.star.leaves.client.prefix,
  });
  assert.doesNotMatch(run.stderr, new RegExp(TURN_PASSWORD), "passwords are not for the log");
  return run;
}

/** The ways that both sides say they took. */
function routes(run: ClientRun, { process }: WorkerHandle): string[] {
  return [run.stderr, process.output].map((text) => /connected, \w+: .*(?="|$)/m.exec(text)?.[0] ?? text);
}

Deno.test({
  name: `turn: a job between two networks that share only a TURN server succeeds through it${SKIPPED}`,
  ignore: MISSING !== undefined,
  fn: () =>
    withTurnLab(false, (test) =>
      withTurn(test.star.middle, test.folder, async () => {
        const serving = await worker(test);
        const run = await train(test, serving);
        assert.equal(run.code, 0, `${run.stderr}\n${serving.process.output}`);
        assert.equal(run.summary?.method, "rtc");
        assert.equal(run.summary?.connection.route, "relay");
        await modelIn(join(test.home, "results/models"));
        for (const route of routes(run, serving)) assert.match(route, /^connected, relay: /);
      })),
});

Deno.test({
  name: `turn: without the TURN server the job goes over the signaling server${SKIPPED}`,
  ignore: MISSING !== undefined,
  fn: () =>
    withTurnLab(false, async (test) => {
      const config = "[default]\nconnection_timeout = 6\n";
      const run = await train(test, await worker(test, config), { config });
      assert.equal(run.code, 0, run.stderr);
      assert.equal(run.summary?.connection.route, "signaling");
      await modelIn(join(test.home, "results/models"));
    }),
});

Deno.test({
  name: `turn: where the signaling server does not relay either, the message says what is missing${SKIPPED}`,
  ignore: MISSING !== undefined,
  fn: () =>
    withTurnLab(false, async (test) => {
      const config = "[default]\nconnection_timeout = 6\n";
      const run = await train(test, await worker(test, config), { config });
      assert.equal(run.code, 3);
      assert.equal(run.summary, undefined);
      assert.match(run.stderr, /^error: .*relay/m);
      assert.match(run.stderr, /^hint: the TURN server 10\.77\.0\.1:3478 gave no relay: can it be reached/m);
    }, ["--relay-limit", "0"]),
});

Deno.test({
  name: `turn: a direct way is taken where there is one, and not taken with --relay-only${SKIPPED}`,
  ignore: MISSING !== undefined,
  fn: () =>
    withTurnLab(true, (test) =>
      withTurn(test.star.middle, test.folder, async () => {
        const serving = await worker(test);
        const direct = await train(test, serving);
        assert.equal(direct.code, 0, direct.stderr);
        for (const route of routes(direct, serving)) assert.match(route, /^connected, direct: /);
        serving.process.stderr.length = 0;
        const relayed = await train(test, serving, { args: ["--relay-only"] });
        assert.equal(relayed.code, 0, relayed.stderr);
        for (const route of routes(relayed, serving)) assert.match(route, /^connected, relay: /);
      })),
});
