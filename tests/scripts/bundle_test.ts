import assert from "node:assert/strict";
import { join } from "node:path";
import { bundle, stopBundler } from "../../scripts/bundle.ts";
import { PROGRAMS } from "../../scripts/programs.ts";

/** Large, and needed by few commands: each of them makes a program start noticeably later. */
const NOT_AT_START = [/^@aws-sdk\//, /^@smithy\//, /^yaml$/, /^node-datachannel$/, /^h5wasm$/, /^@redis\//];
/** People wait for the client; the worker's launcher shares a file with what unpacks. */
const NOT_AT_CLIENT_START = [...NOT_AT_START, /^@zip\.js\//, /^string-width$/];
/** What only the tests, the examples and the type checker use. */
const NOWHERE = [/^fast-check$/, /^fast-png$/, /^@types\//, /^esbuild$/, /^kubernetes-models$/];

function found(packages: object, patterns: readonly RegExp[]): string[] {
  return Object.keys(packages).filter((name) => patterns.some((pattern) => pattern.test(name)));
}

/** Files of a bundle that are loaded late and have no names to be taken from them: packages that are CommonJS. */
async function namelessLateParts(folder: string): Promise<string[]> {
  const texts = new Map<string, string>();
  for await (const { name } of Deno.readDir(folder)) {
    texts.set(name, await Deno.readTextFile(join(folder, name)));
  }
  const late = [...texts.values()].flatMap((text) => [...text.matchAll(/import\("\.\/([^"]+\.js)"\)/g)]);
  return late.flatMap(([, name = ""]) =>
    /export default require_\w+\(\);\s*$/.test(texts.get(name) ?? "") ? name : []
  );
}

Deno.test({
  name: "programs hold what they import only, and load at their start what every command needs only",
  // The bundler is a process that serves one test after the other.
  sanitizeOps: false,
  sanitizeResources: false,
  async fn(): Promise<void> {
    const folder = await Deno.makeTempDir();
    try {
      for (const { name, entry, workers } of PROGRAMS) {
        const { parts, atStart } = await bundle([entry, ...workers], folder, "test");
        assert.ok((atStart["zod"] ?? 0) > 0 && (atStart["own"] ?? 0) > 0, `${name} is bundled`);
        const late = name === "sleap-rtc-client" ? NOT_AT_CLIENT_START : NOT_AT_START;
        assert.deepEqual(found(atStart, late), [], `${name} loads them at its start`);
        assert.deepEqual(found(parts, NOWHERE), [], `${name} holds them`);
        assert.equal(found(parts, [/^h5wasm$/]).length > 0, name === "sleap-rtc-client", name);
        assert.deepEqual(await namelessLateParts(folder), [], `${name} loads them late`);
        const needsStores = name !== "sleap-rtc-signaling";
        assert.equal(found(parts, [/^@aws-sdk\//]).length > 0, needsStores, name);
        assert.ok((parts["zod"] ?? 0) < 300_000, "the languages of zod are left out");
      }
    } finally {
      await stopBundler();
      await Deno.remove(folder, { recursive: true });
    }
  },
});
