import assert from "node:assert/strict";
import { fileURLToPath } from "node:url";
import type { ClientEvent } from "../../client/screen.ts";

const SCREEN = new URL("../../client/screen.ts", import.meta.url).href;
const CONFIG = fileURLToPath(new URL("../../deno.json", import.meta.url));

/** What a terminal is sent when these events are shown on it; `script` makes the terminal. */
async function drawn(events: readonly ClientEvent[]): Promise<string> {
  const program = `import { textScreen } from "${SCREEN}"; const screen = textScreen();` +
    `for (const event of ${JSON.stringify(events)}) screen.show(event); screen.close();`;
  const file = await Deno.makeTempFile({ suffix: ".ts" });
  try {
    await Deno.writeTextFile(file, program);
    const command = `${Deno.execPath()} run --no-check -A --config ${CONFIG} ${file}`;
    const args = ["-qec", command, "/dev/null"];
    const { success, stdout } = await new Deno.Command("script", { args, stdin: "null" }).output();
    const text = new TextDecoder().decode(stdout);
    assert.ok(success, text);
    return text.replaceAll("\r\n", "\n");
  } finally {
    await Deno.remove(file);
  }
}

const hasScript = Deno.build.os === "linux" &&
  await new Deno.Command("script", { args: ["--version"] }).output().then(
    ({ success }) => success,
    () => false,
  );

Deno.test({
  name: `terminal: what a trainer writes over is written over, other lines stay${
    hasScript ? "" : " (skipped: needs script of util-linux)"
  }`,
  ignore: !hasScript,
  fn: async () => {
    const training = {
      event: "training",
      run: "c",
      epochs: null,
      epoch_done: false,
      printed: false,
    } as const;
    const text = await drawn([
      { event: "run_started", name: "c" },
      { event: "log", text: "begin\n" },
      { event: "log", text: "\r10%" },
      { event: "log", text: "\r20%" },
      { ...training, epoch: 1, metrics: { loss: 0.5 } },
      { event: "log", text: "a line\n" },
      { ...training, epoch: 2, metrics: { loss: 0.25 } },
      { event: "run_ended", name: "c", exit_code: 0 },
    ]);
    const clear = "\r\x1b[K";
    assert.equal(
      text,
      `run c begins\nbegin\n${clear}10%${clear}20%${clear}c: epoch 1, loss 0.5` +
        `${clear}a line\n${clear}c: epoch 1, loss 0.5${clear}c: epoch 2, loss 0.25${clear}run c is done\n`,
    );
  },
});
