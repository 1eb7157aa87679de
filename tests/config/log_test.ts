import assert from "node:assert/strict";
import { getLogger, reset } from "@logtape/logtape";
import { configureLog, type LogOptions } from "../../config/log.ts";

/** The lines on stderr of a few log calls. */
async function lines(options: LogOptions): Promise<string[]> {
  const said = console.error;
  const out: string[] = [];
  console.error = (text: string) => void out.push(text);
  try {
    await configureLog(options);
    const logger = getLogger(["sleap-rtc", "test"]);
    logger.debug("detail");
    logger.info("worker {name} has {count}", { name: "w", count: 2 });
    logger.warning("careful", { data: { of: "what" }, secret: "s" });
    getLogger(["elsewhere"]).error("not ours");
    return out;
  } finally {
    console.error = said;
    await reset();
  }
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

Deno.test("JSON is one object a line", async () => {
  const found: unknown[] = (await lines({ json: true })).map((line) => JSON.parse(line));
  assert.equal(found.length, 2);
  assert.deepEqual(Object.keys(found[1] ?? {}), ["time", "level", "logger", "text", "data"]);
  assert.deepEqual(Reflect.get(found[1] ?? {}, "data"), { of: "what" });
  assert.equal(Reflect.get(found[1] ?? {}, "logger"), "sleap-rtc.test");
  assert.equal(Reflect.get(found[1] ?? {}, "text"), "careful");
});
