import assert from "node:assert/strict";
import { getLogger, type Logger, reset } from "@logtape/logtape";
import { configureLog, type LogOptions } from "../../config/log.ts";

/** The lines on stderr of a few log calls. */
async function lines(options: LogOptions, say: (logger: Logger) => void = sayAll): Promise<string[]> {
  const said = console.error;
  const out: string[] = [];
  console.error = (text: string) => void out.push(text);
  try {
    await configureLog(options);
    const logger = getLogger(["sleap-rtc", "test"]);
    say(logger);
    return out;
  } finally {
    console.error = said;
    await reset();
  }
}

function sayAll(logger: Logger): void {
  logger.debug("detail");
  logger.info("worker {name} has {count}", { name: "w", count: 2 });
  logger.warning("careful", { data: { of: "what" }, code: "NO_SPACE", secret: "s" });
  getLogger(["elsewhere"]).error("not ours");
}

Deno.test("a line has the time, and the level unless it is information", async () => {
  const found = (await lines({})).map((line) => line.replace(/^\d\d:\d\d:\d\d /, "TIME "));
  assert.equal(found.length, 2);
  assert.match(found[0] ?? "", /^TIME worker "?w"? has 2$/);
  assert.equal(found[1], "TIME warning: careful");
});

Deno.test("verbose shows details as well", async () => {
  assert.match((await lines({ verbose: true }))[0] ?? "", /debug: detail$/);
});

Deno.test("JSON is one object a line, with the code of an error", async () => {
  const found: unknown[] = (await lines({ json: true })).map((line) => JSON.parse(line));
  assert.equal(found.length, 2);
  assert.deepEqual(Object.keys(found[1] ?? {}), ["time", "level", "logger", "text", "code", "data"]);
  assert.equal(Reflect.get(found[1] ?? {}, "code"), "NO_SPACE");
  assert.deepEqual(Reflect.get(found[1] ?? {}, "data"), { of: "what" });
  assert.equal(Reflect.get(found[1] ?? {}, "logger"), "sleap-rtc.test");
  assert.equal(Reflect.get(found[1] ?? {}, "text"), "careful");
});

Deno.test("--log-format says how lines look, whatever --json says", async () => {
  const isJson = async (options: LogOptions): Promise<boolean> => /^\{/.test((await lines(options))[0] ?? "");
  assert.equal(await isJson({ logFormat: "json" }), true);
  assert.equal(await isJson({ json: true, logFormat: "text" }), false);
});

Deno.test("no line shows a secret, in its text or its data", async () => {
  const token = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJ3In0.c2lnbmF0dXJl";
  for (const logFormat of ["json", "text"] as const) {
    const found = await lines({ logFormat }, (logger) => {
      logger.warn("refused {idToken} of {peer}", { idToken: token, peer: "w" });
      logger.warn(`token=5e6f70`, { event: "token_refused", data: { token: "5e6f70", peer: "w" } });
      logger.error("failed: {error}", { error: new Error("password=hunter2") });
    });
    assert.equal(found.length, 3);
    assert.doesNotMatch(found.join("\n"), /eyJ|5e6f70|hunter2/);
    if (logFormat === "text") continue;
    const parsed: Record<string, unknown> = JSON.parse(found[1] ?? "");
    assert.deepEqual([parsed["event"], parsed["data"]], ["token_refused", { token: "***", peer: "w" }]);
  }
});
