import assert from "node:assert/strict";
import fc from "fast-check";
import { parseConfig } from "../../config/load.ts";
import { ConfigFileError, locate, nearest } from "../../config/mistake.ts";

/** The lines of what is wrong with a file. */
function mistakes(toml: string): string[] {
  try {
    parseConfig(toml, "f.toml");
  } catch (error) {
    if (!(error instanceof ConfigFileError)) throw error;
    assert.equal(error.exitCode, 2);
    assert.equal(error.mistakes.length, error.message.split("\n").length);
    return error.message.split("\n");
  }
  return [];
}

Deno.test("every mistake at once, in the order of the file, each with its place", () => {
  assert.deepEqual(
    mistakes(`[default]
connection_timeot = 3
  connection_timeout = 0
[storage.vast]
type = 3
[storage."my vast"]
base_path = "/x"
[storage.b]
base_path = ""
[worker]
job_environment = [1, "A", ""]
[worker.jobs.train]
command = []
[environments.p]
signaling_http = "ftp://x"
signaling_websocket = "http://x"
foo = 2
`),
    [
      'f.toml:2:1: default.connection_timeot: unknown key; did you mean "connection_timeout"?',
      "f.toml:3:3: default.connection_timeout: found 0, expected a number of seconds above 0",
      "f.toml:4:1: storage.vast.base_path: is missing; expected a path, or " +
      '{ darwin = "/Volumes/lab", linux = "/mnt/vast" }',
      "f.toml:5:1: storage.vast.type: found 3, expected a value of type string",
      'f.toml:6:1: storage.my vast: found {"base_path":"/x"}, expected letters, digits, ' +
      "'_', '.' and '-' in a backend's name",
      'f.toml:9:1: storage.b.base_path: found "", expected a text that is not empty',
      "f.toml:11:1: worker.job_environment.0: found 1, expected a value of type string",
      `f.toml:11:1: worker.job_environment.2: found "", expected the name of a variable: letters, digits and '_'`,
      "f.toml:13:1: worker.jobs.train.command: found [], expected a list: the program first, then its " +
      'arguments, e.g. ["sleap-nn", "train"]',
      'f.toml:15:1: environments.p.signaling_http: found "ftp://x", expected a URL beginning with ' +
      "http:// or https://",
      'f.toml:16:1: environments.p.signaling_websocket: found "http://x", expected a URL beginning with ' +
      "ws:// or wss://",
      "f.toml:17:1: environments.p.foo: unknown key; valid keys: signaling_websocket, signaling_http",
    ],
  );
});

for (
  const [toml, expected] of [
    [
      "[storage.a]\nbase_path='/a'\ndescripton='x'",
      'f.toml:3:1: storage.a.descripton: unknown key; did you mean "description"?',
    ],
    [
      "[storage.a]\nbase_path={ drwin='/x' }",
      'f.toml:2:13: storage.a.base_path.drwin: unknown key; did you mean "darwin"?',
    ],
    ["[storage]\na = 3", "f.toml:2:1: storage.a: found 3, expected a value of type object"],
    [
      "[worker.jobs.trian]\ncommand=['a']",
      'f.toml:1:1: worker.jobs.trian: unknown key; did you mean "train"?',
    ],
    ["[enviroments]\na = 1", 'f.toml:1:1: enviroments: unknown key; did you mean "environments"?'],
    ["[enviroments.production]\na = 1", 'f.toml:1:1: enviroments: unknown key; did you mean "environments"?'],
    ["\nstorge.a.base_path = '/x'", 'f.toml:2:1: storge: unknown key; did you mean "storage"?'],
    [
      "something_else = 1",
      "f.toml:1:1: something_else: unknown key; valid keys: default, environments, storage, worker, client",
    ],
    [
      "storage = { vast = { base_path = 3, type = 1 } }",
      "f.toml:1:22: storage.vast.base_path: found 3, expected",
    ],
    [
      "[default]\nconnection_timeout = nan",
      "f.toml:2:1: default.connection_timeout: found NaN, expected a number of seconds above 0",
    ],
    [
      "[default]\nconnection_timeout = inf",
      "f.toml:2:1: default.connection_timeout: found Infinity, expected a number of seconds above 0",
    ],
    ["__proto__ = 3", "f.toml:1:1: __proto__: unknown key"],
    ["[storage.__proto__]\nbase_path = '/x'", "f.toml:1:1: storage.__proto__: "],
    ["[[storage.a]]\nbase_path='/x'", "f.toml:1:1: storage.a: "],
  ] as const
) {
  Deno.test(`places and explains ${JSON.stringify(toml)}`, () => {
    const [found = "no mistake"] = mistakes(toml);
    assert.equal(found.slice(0, expected.length), expected);
  });
}

Deno.test("a text of several lines is not searched for keys", () => {
  const toml =
    '[storage.a]\nbase_path="/x"\ndescription="""\n[storage.b]\nbase_path=3\n"""\n[storage.b]\nbase_path=3';
  assert.match(mistakes(toml)[0] ?? "", /^f\.toml:8:1: storage\.b\.base_path: /);
});

Deno.test("TOML that cannot be read has the place of the mistake", () => {
  const broken: readonly [string, RegExp][] = [
    ["[default]\nconnection_timeout = = 3", /^f\.toml:2:\d+: not valid TOML: /],
    ["a = 1\na = 2", /^f\.toml:2:\d+: /],
    ["[default", /^f\.toml:1:\d+: /],
    ["a = 'x", /^f\.toml:1:\d+: /],
    ["a = 99999999999999999999", /^f\.toml:1:\d+: /],
    ["\0", /^f\.toml:1:\d+: /],
  ];
  for (const [toml, expected] of broken) {
    const found = mistakes(toml);
    assert.equal(found.length, 1, toml);
    assert.match(found[0] ?? "", expected);
  }
});

Deno.test("any text is read or refused with mistakes, nothing else is thrown", () => {
  const piece = fc.oneof(
    fc.string({ unit: "binary", maxLength: 20 }),
    fc.constantFrom("[storage.a]", "base_path=", '"/x"', "\n", "[", "]", "=", "{}", "1", "nan", "default"),
  );
  fc.assert(
    fc.property(fc.array(piece, { maxLength: 12 }), (pieces) => {
      for (const line of mistakes(pieces.join(""))) assert.ok(line !== "");
    }),
    { numRuns: 1_000 },
  );
});

Deno.test("a secret value is shown short", () => {
  const [found = ""] = mistakes(`[storage.a]\nbase_path = "/x"\ntype = ["${"x".repeat(10_000)}"]`);
  assert.ok(found.length < 250);
});

Deno.test("positions count from 1 and survive quotes, blanks and dots", () => {
  assert.deepEqual(locate('[ storage . "a.b" ]\n\t base_path = 1', ["storage", "a.b", "base_path"]), {
    line: 2,
    column: 3,
  });
  assert.deepEqual(locate("storage.a.type = 1", ["storage", "a", "type"]), { line: 1, column: 1 });
  assert.deepEqual(locate("[storage.a]\r\ntype = 1", ["storage", "a", "gone"]), { line: 1, column: 1 });
  assert.equal(locate("[other]\nb = 1", ["storage"]), undefined);
});

Deno.test("the nearest word is suggested only when it is near", () => {
  const words = ["default", "environments", "storage"];
  assert.equal(nearest("storge", words), "storage");
  assert.equal(nearest("STORAGE", words), "storage");
  assert.equal(nearest("xyz", words), undefined);
  assert.equal(nearest("storage", []), undefined);
});

Deno.test("mistakes about the sandbox of jobs are told at their place", () => {
  assert.deepEqual(
    mistakes(
      '[worker]\nsandbox = "docker"\nsandbox_network = 1\nsandbox_read = ["/a", "$GONE/x", "s3://lab"]\n',
    ),
    [
      'f.toml:2:1: worker.sandbox: found "docker", expected "none" or "bwrap"',
      "f.toml:3:1: worker.sandbox_network: found 1, expected true or false",
      'f.toml:4:1: worker.sandbox_read.2: found "s3://lab", expected a path of this machine',
    ],
  );
});

Deno.test("placeholders that nothing fills in are mistakes; braces of a script are not", () => {
  assert.deepEqual(
    mistakes(`[worker.jobs.train]
command = ["sleap-nn", "{confg}", "x={run_name}.{port}"]
[worker.jobs.track]
command = ["sleap-nn", "track", "--all={arguments}", "{config}"]
`),
    [
      'f.toml:2:1: worker.jobs.train.command.1: found "{confg}", expected of placeholders only {config}, ' +
      "{run_name}, {publish_port}, {controller_port}",
      'f.toml:2:1: worker.jobs.train.command.2: found "x={run_name}.{port}", expected of placeholders only ' +
      "{config}, {run_name}, {publish_port}, {controller_port}",
      'f.toml:4:1: worker.jobs.track.command.2: found "--all={arguments}", expected {arguments} as a word of ' +
      "its own, and no other placeholder",
      'f.toml:4:1: worker.jobs.track.command.3: found "{config}", expected {arguments} as a word of its own, ' +
      "and no other placeholder",
    ],
  );
  assert.deepEqual(
    mistakes(`[worker.jobs.train]
command = ["sh", "-c", "awk '{print}' x", "sh", "{config}", "\${HOME}", "model={a: 1}"]
[worker.jobs.track]
command = ["track", "{arguments}"]
`),
    [],
  );
});

Deno.test("paths of sandbox_read are absolute, or begin with the home folder or a variable", () => {
  assert.deepEqual(
    mistakes('[worker]\nsandbox_read = ["/a", "~/b", "$LAB/c", "data/videos", "../d"]\n'),
    ["data/videos", "../d"].map((path, index) =>
      `f.toml:2:1: worker.sandbox_read.${
        index + 3
      }: found "${path}", expected an absolute path, or one that ` +
      "begins with ~ or $NAME"
    ),
  );
});
