import assert from "node:assert/strict";
import { join } from "node:path";
import { ERROR_CODES } from "../../config/error_code.ts";
import { GENERATED, settingsReference, withReference } from "../../scripts/reference.ts";
import { pages, ROOT } from "./blocks.ts";

/** A page as `deno fmt` has it. */
async function formatted(page: string): Promise<string> {
  const child = new Deno.Command(Deno.execPath(), {
    args: ["fmt", "--ext", "md", "-"],
    cwd: ROOT,
    stdin: "piped",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
  const writer = child.stdin.getWriter();
  await writer.write(new TextEncoder().encode(page));
  await writer.close();
  const { success, stdout } = await child.output();
  assert.ok(success);
  return new TextDecoder().decode(stdout);
}

for (const [path, make] of Object.entries(GENERATED)) {
  Deno.test(`${path} is what the source says; if not: deno task docs`, async () => {
    const page = await Deno.readTextFile(join(ROOT, path));
    assert.equal(page, await formatted(withReference(page, make())));
  });
}

Deno.test("a page without a place for its generated part is told", () => {
  assert.throws(() => withReference("# Page\n", "x"), /expected <!-- made by/);
});

Deno.test("the reference has every section and key of the example", async () => {
  const reference = settingsReference();
  const example = await Deno.readTextFile(join(ROOT, "sleap-rtc.example.toml"));
  for (const [, key] of example.matchAll(/^#? ?(\w+) = /gm)) {
    assert.ok(reference.includes(`\`${key!}\``), key!);
  }
  for (
    const section of [
      "[default]",
      "[[default.ice_servers]]",
      "[environments.NAME]",
      "[storage.NAME]",
      "[worker.jobs.track]",
    ]
  ) {
    assert.ok(reference.includes(`\`${section}\``), section);
  }
});

Deno.test("the troubleshooting guide has every error code", async () => {
  const page = await Deno.readTextFile(join(ROOT, "docs/troubleshooting.md"));
  for (const code of ERROR_CODES.keys()) assert.ok(page.includes(`**\`${code}\`**`), code);
});

Deno.test("every link of the documentation leads to a file, and to a heading of it", async () => {
  const wrong: string[] = [];
  for (const page of await pages()) {
    const text = (await Deno.readTextFile(join(ROOT, page))).replaceAll(/```[^]*?```/g, "");
    for (const [, target] of text.matchAll(/\]\((?!https?:)([^)\s]+)\)/g)) {
      const [path = "", anchor] = target!.split("#");
      const file = path === "" ? join(ROOT, page) : join(ROOT, page, "..", path);
      const there = await Deno.stat(file).catch(() => undefined);
      const found = there &&
        (anchor === undefined || headings(await Deno.readTextFile(file)).includes(anchor));
      if (!found) wrong.push(`${page}: ${target}`);
    }
  }
  assert.deepEqual(wrong, []);
});

/** Anchors of a page's headings, as GitHub makes them. */
function headings(page: string): string[] {
  return [...page.matchAll(/^#+ (.+)$/gm)].map(([, text]) =>
    text!.toLowerCase().replaceAll(/[^\p{L}\p{N} _-]/gu, "").replaceAll(" ", "-")
  );
}
