import assert from "node:assert/strict";
import { reset } from "@logtape/logtape";
import { createProgram, ExitCode, onStopSignal, parseWholeNumber, runProgram } from "../../config/program.ts";
import { ConfigError, errorCode, errorText, UserError } from "../../config/user_error.ts";

Deno.test.sanitizer({ ops: true, resources: true });

/** Exit code and texts of a program whose action this is. */
async function run(
  args: readonly string[],
  action: (options: { port?: number }) => void | Promise<void> = () => {},
): Promise<{ code: number; stdout: string; stderr: string }> {
  let [stdout, stderr] = ["", ""];
  const program = createProgram("prog", "does things", "  prog --port 5")
    .option("--port <n>", "a port", parseWholeNumber)
    .option("--json", "for scripts").option("--verbose", "log more")
    .configureOutput({ writeOut: (text) => stdout += text, writeErr: (text) => stderr += text })
    .action(action);
  const [said, printed] = [console.error, console.log];
  console.error = (text: string) => stderr += `${text}\n`;
  console.log = (text: string) => stdout += `${text}\n`;
  try {
    return { code: await runProgram(program, args), stdout, stderr };
  } finally {
    console.error = said;
    console.log = printed;
  }
}

Deno.test("an action that returns ends with 0", async () => {
  let seen: number | undefined;
  assert.equal((await run(["--port", "5"], ({ port }) => void (seen = port))).code, 0);
  assert.equal(seen, 5);
});

Deno.test("--verbose begins with what program this is, on what machine", async () => {
  const { code, stdout, stderr } = await run(["--verbose"]);
  assert.deepEqual([code, stdout], [0, ""]);
  assert.match(stderr, /^\S+ debug: prog \d+\.\d+\.\d+ \(from source, Deno \S+\) on \w+ \w+\n$/);
  await reset();
});

Deno.test("help and version end with 0 and stand on stdout", async () => {
  const help = await run(["--help"]);
  assert.equal(help.code, 0);
  assert.match(help.stdout, /Examples:\n {2}prog --port 5/);
  const version = await run(["--version"]);
  assert.equal(version.code, 0);
  assert.match(version.stdout, /^prog \d+\.\d+\.\d+ \(from source, Deno \d+\.\d+\.\d+\)\n$/);
});

Deno.test("a command line that is not understood ends with 2 and a hint", async () => {
  for (const args of [["--nonsense"], ["extra"], ["--port"]]) {
    const { code, stderr } = await run(args);
    assert.equal(code, 2);
    assert.match(stderr, /error: [\s\S]*hint: see --help/);
  }
});

Deno.test("a flag that is no number ends with 2", async () => {
  for (const text of ["x", "-1", "1.5", "1e3", "", " 1", "9999999999"]) {
    const { code, stderr } = await run([`--port=${text}`]);
    assert.equal(code, 2, text);
    assert.match(stderr, /whole number/);
  }
});

Deno.test("errors meant for people end with their code, and say what to do", async () => {
  const failed = await run(
    [],
    () => Promise.reject(new UserError("it broke", { hint: "mend it", code: "WORKER_LOST" })),
  );
  assert.deepEqual(failed, {
    code: 4,
    stdout: "",
    stderr: "error: it broke\nhint: mend it\ncode: WORKER_LOST\n",
  });
  const config = await run([], () => {
    throw new ConfigError("wrong");
  });
  assert.deepEqual(config, { code: 2, stdout: "", stderr: "error: wrong\ncode: CONFIG_INVALID\n" });
});

Deno.test("a run in JSON ends with the error as one object on stdout, and the same words on stderr", async () => {
  const failed = await run(["--json"], () => {
    throw new UserError("it broke", { hint: "mend it", code: "NO_SPACE" });
  });
  const event = { event: "error", code: "NO_SPACE", message: "it broke", hint: "mend it", exit_code: 1 };
  assert.deepEqual(JSON.parse(failed.stdout), event);
  assert.equal(failed.stderr, "error: it broke\nhint: mend it\ncode: NO_SPACE\n");
  const other = await run(["--json"], () => {
    throw new Error("oops");
  });
  const unexpected = { event: "error", code: "UNEXPECTED", message: "oops", hint: null, exit_code: 1 };
  assert.deepEqual(JSON.parse(other.stdout), unexpected);
  const usage = await run(["--json", "--prot", "5"]);
  const { message, ...facts } = JSON.parse(usage.stdout);
  assert.deepEqual(facts, { event: "error", code: "USAGE", hint: "see --help", exit_code: 2 });
  assert.match(message, /^unknown option '--prot'/);
});

Deno.test("any other error ends with 1, whatever was thrown", async () => {
  for (const thrown of [new Error("oops"), "oops"]) {
    const { code, stderr } = await run([], () => {
      throw thrown;
    });
    assert.deepEqual([code, stderr], [1, "error: oops\ncode: UNEXPECTED\n"]);
  }
});

Deno.test("an action may end with a code and say nothing", async () => {
  const ended = await run([], () => {
    throw new ExitCode(3);
  });
  assert.deepEqual(ended, { code: 3, stdout: "", stderr: "" });
});

Deno.test("errors know their class, hint, code and cause", () => {
  const cause = new Error("why");
  const error = new ConfigError("text", { hint: "do", cause });
  assert.deepEqual([error.name, error.hint, error.exitCode, error.cause], ["ConfigError", "do", 2, cause]);
  assert.equal(error.code, "CONFIG_INVALID");
  const plain = new UserError("x");
  assert.deepEqual([plain.code, plain.exitCode, errorCode(new Error("x"))], ["FAILED", 1, "UNEXPECTED"]);
  assert.ok(!("cause" in new UserError("x")));
  assert.equal(errorText(error), "text");
  assert.equal(errorText(5), "5");
});

Deno.test({
  name: "a polite kill calls back until the handlers are taken away",
  ignore: Deno.build.os === "windows",
  fn: async () => {
    const { promise, resolve } = Promise.withResolvers<void>();
    const remove = onStopSignal(() => resolve());
    // A signal handler alone does not keep a program alive.
    const alive = setInterval(() => {}, 1_000);
    Deno.kill(Deno.pid, "SIGTERM");
    await promise;
    clearInterval(alive);
    remove();
  },
});
