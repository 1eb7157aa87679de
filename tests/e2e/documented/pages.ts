/** The pages of the documentation as tests: every shell block runs as it stands there. */
import assert from "node:assert/strict";
import {
  ACTED_OUT,
  AS_THEY_ARE,
  type Block,
  blocksIn,
  calledBy,
  commandsOf,
  nameOf,
} from "../../docs/blocks.ts";
import { HAS_REDIS } from "../../signaling/redis.ts";
import { hasProgram } from "../has_program.ts";
import { placed } from "./places.ts";
import { Stage } from "./stage.ts";

/** The blocks that are run one by one. */
export const BLOCKS: readonly Block[] = (await blocksIn("sh"))
  .filter(({ page, chapter }) => !Object.hasOwn(ACTED_OUT, `${page}: ${chapter}`));

/** A test for each of the pages that are asked for. */
export async function testPages(isAsked: (page: string) => boolean): Promise<void> {
  for (const [page, blocks] of Map.groupBy(BLOCKS, ({ page }) => page)) {
    if (isAsked(page)) await testPage(page, blocks);
  }
}

async function testPage(page: string, blocks: readonly Block[]): Promise<void> {
  const missing = Deno.build.os === "windows" ? ["a POSIX shell"] : await missingFor(blocks);
  const note = missing.length === 0 ? "" : ` (skipped: needs ${missing.join(", ")})`;
  Deno.test({
    name: `${page}: every command does what it should${note}`,
    ignore: missing.length > 0,
    fn: () =>
      Stage.with(async (stage) => {
        for (const [index, block] of blocks.entries()) {
          await play(block, await placed(scriptOf(block, blocks.slice(0, index)), stage), stage);
        }
      }),
  });
}

async function play({ page, line }: Block, script: string, stage: Stage): Promise<void> {
  const { code, output } = await stage.run(script);
  const told = `${page}:${line} ended with ${code}\n${script}\n${output}`;
  assert.equal(code, 0, told);
  // A job that is to be stopped has to run.
  assert.doesNotMatch(output, /has ended already/, told);
}

/** What a page's blocks need and this machine does not have. */
async function missingFor(blocks: readonly Block[]): Promise<string[]> {
  const text = blocks.map((block) => block.text).join("\n");
  const called = commandsOf(text).map((words) => nameOf(calledBy(words))).filter((name) =>
    AS_THEY_ARE.includes(name)
  );
  if (text.includes("fullchain.pem")) called.push("openssl");
  const missing: string[] = [];
  for (const name of new Set(called)) if (!await hasProgram(name)) missing.push(name);
  return text.includes("redis://") && !HAS_REDIS ? [...missing, "redis-server"] : missing;
}

/** A block as a script, after what the shell of a reader has of those before it in the chapter. */
function scriptOf(block: Block, earlier: readonly Block[]): string {
  const exported = earlier.filter(({ chapter }) => chapter === block.chapter)
    .flatMap(({ text }) => text.match(/^export .*$/gm) ?? []);
  return ["set -euo pipefail", ...exported, block.text].join("\n");
}
