import assert from "node:assert/strict";
import { ConfigFileError } from "../../config/mistake.ts";
import { explainConfig, type Setting } from "../../config/settings.ts";
import { FILE, load, loadBare, type Machine, surroundings } from "./fake_surroundings.ts";

const OF_FILE = "secret of the file";
const OF_ENVIRONMENT = "secret of the environment";
const TOML = `[default]\nroom_secret = "${OF_FILE}"\n`;

/** What is wrong with a machine's configuration. */
function failure(toml: string, machine: Machine = {}): ConfigFileError {
  try {
    load(toml, machine);
  } catch (error) {
    assert.ok(error instanceof ConfigFileError, String(error));
    return error;
  }
  assert.fail("no mistake");
}

function shown(machine: Machine): Setting | undefined {
  return explainConfig({}, surroundings(machine)).settings.find(({ key }) => key === "default.room_secret");
}

Deno.test("the room secret of the environment wins over that of the file", () => {
  const env = { SLEAP_RTC_ROOM_SECRET: OF_ENVIRONMENT };
  assert.equal(load(TOML).roomSecret, OF_FILE);
  assert.equal(load(TOML, { env }).roomSecret, OF_ENVIRONMENT);
  assert.equal(loadBare({ env }).roomSecret, OF_ENVIRONMENT);
  assert.equal(load("").roomSecret, undefined);
});

Deno.test("of the room secret it is shown that it is set and where, never what it is", () => {
  const key = "default.room_secret";
  const files = { [FILE]: TOML };
  const env = { SLEAP_RTC_ROOM_SECRET: OF_ENVIRONMENT };
  assert.deepEqual(shown({ files }), { key, value: "(set)", source: "file sleap-rtc.toml:2" });
  assert.deepEqual(shown({ files, env }), {
    key,
    value: "(set)",
    source: "environment SLEAP_RTC_ROOM_SECRET",
  });
  assert.deepEqual(shown({}), { key, value: undefined, source: "default" });
  assert.doesNotMatch(JSON.stringify(explainConfig({}, surroundings({ files, env }))), /secret of/);
});

Deno.test("a short room secret is refused, with a way to make a better one, and not told", () => {
  const expected = "expected a text of at least 16 characters; make one with: openssl rand -hex 16";
  for (const secret of ["", "hunter2", "fifteen letters"]) {
    const length = secret.length;
    const inFile = failure(`[default]\nroom_secret = "${secret}"`);
    assert.equal(inFile.message, `${FILE}:2:1: default.room_secret: found ${length} characters, ${expected}`);
    const inVariable = failure(TOML, { env: { SLEAP_RTC_ROOM_SECRET: secret } });
    assert.equal(inVariable.message, `SLEAP_RTC_ROOM_SECRET has ${length} characters, ${expected}`);
  }
  assert.equal(load('[default]\nroom_secret = "sixteen letters!"').roomSecret, "sixteen letters!");
});

Deno.test("no mistake about a room secret tells it", () => {
  const broken = [
    "[default]\nroom_secret = 8877665544332211",
    '[default]\nroom_secret = ["8877665544332211"]',
    '[default]\nroom_secret = { a = "8877665544332211" }',
    '[[default]]\nroom_secret = "8877665544332211"',
    '[storage.a]\nbase_path = { room_secret = "8877665544332211" }',
    '[default]\nroom_secrt = "8877665544332211"',
    'room_secret = "8877665544332211"',
    '[client]\nroom_secret = "8877665544332211"',
    '[default]\nroom_secret = "8877665544332211',
    "[default]\nroom_secret = 8877665544332211abc",
    `[default]\nroom_secret = "8877665544332211"\nroom_secret = "8877665544332211"`,
  ];
  for (const toml of broken) {
    const { message, hint = "" } = failure(toml);
    assert.doesNotMatch(message + hint, /8877/, toml);
  }
});

Deno.test("jobs cannot be given the room secret", () => {
  const { message } = failure('[worker]\njob_environment = ["HF_HOME", "SLEAP_RTC_ROOM_SECRET"]');
  assert.match(message, /worker\.job_environment\.1: .* jobs do not get the room secret$/);
  const env = { SLEAP_RTC_ROOM_SECRET: OF_ENVIRONMENT };
  assert.ok(!loadBare({ env }).worker.jobEnvironment.includes("SLEAP_RTC_ROOM_SECRET"));
});
