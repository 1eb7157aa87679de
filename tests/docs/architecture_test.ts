import assert from "node:assert/strict";
import { dirname, join, relative } from "node:path";
import { ROOT } from "./blocks.ts";

const PAGE = await Deno.readTextFile(join(ROOT, "docs/architecture.md"));
/** The layers in the order of the page's table, from the top. */
const LAYERS = [...PAGE.matchAll(/^\| `([a-z]+)\/` +\|/gm)].map(([, folder]) => folder!);
/** Folders that are no part of the architecture: the pages themselves, and what programs make. */
const OTHERS = ["docs", ...(await Deno.readTextFile(join(ROOT, ".gitignore"))).split(/\/?\n/)];
/** Of `signaling/`: what belongs to the server, by what the others may import. */
const FOR_PEERS = [
  "account.ts",
  "client.ts",
  "presence.ts",
  "relay.ts",
  "server_checks.ts",
  "signaling_error.ts",
];

/** Every TypeScript file below a folder, from the project's folder. */
async function* sourcesIn(folder: string): AsyncGenerator<string> {
  for await (const { name, isDirectory } of Deno.readDir(join(ROOT, folder))) {
    const path = join(folder, name);
    if (isDirectory) yield* sourcesIn(path);
    else if (name.endsWith(".ts")) yield path;
  }
}

/** What a file imports of this project's folders, from the project's own; `code`: without types, which are gone at run time. */
async function importsOf(file: string, code = false): Promise<string[]> {
  const all = await Deno.readTextFile(join(ROOT, file));
  const text = code ? all.replaceAll(/^(?:import|export) type [^;]*;$/gm, "") : all;
  const found = text.matchAll(/(?:from|import\(|^import) ?"(\.[^"]+)"/gm);
  return [...found].map(([, path]) => relative(ROOT, join(ROOT, dirname(file), path!)))
    .filter((path) => path.includes("/"));
}

Deno.test("every file and folder that the page on architecture names is there", async () => {
  const named = [...PAGE.matchAll(/`([a-z][\w/]*\/(?:[\w.]+)?|[\w]+\.ts)`/g)].map(([, path]) => path!);
  assert.ok(named.length > 20);
  for (const path of named) assert.ok(await Deno.stat(join(ROOT, path)).catch(() => undefined), path);
});

Deno.test("every folder of the project is on the page", async () => {
  for await (const { name, isDirectory } of Deno.readDir(ROOT)) {
    if (!isDirectory || name.startsWith(".") || OTHERS.includes(name)) continue;
    assert.ok(PAGE.includes(`\`${name}/\``), name);
  }
});

Deno.test("every import points down the list of layers", async () => {
  assert.equal(LAYERS.length, 7);
  for (const [index, layer] of LAYERS.entries()) {
    for await (const file of sourcesIn(layer)) {
      for (const target of await importsOf(file)) {
        const [folder = "", name = ""] = target.split("/");
        const place = `${file} imports ${target}`;
        assert.ok(LAYERS.indexOf(folder) >= index, place);
        if (layer === "client") assert.notEqual(folder, "worker", place);
        if (folder === "signaling" && layer !== "signaling") assert.ok(FOR_PEERS.includes(name), place);
      }
    }
  }
});

Deno.test("no file imports itself by way of others", async () => {
  const imports = new Map<string, string[]>();
  for (const layer of LAYERS) {
    for await (const file of sourcesIn(layer)) imports.set(file, await importsOf(file, true));
  }
  const done = new Set<string>();
  const visit = (file: string, path: readonly string[]): void => {
    assert.ok(!path.includes(file), [...path, file].join(" → "));
    if (done.has(file)) return;
    for (const next of imports.get(file) ?? []) visit(next, [...path, file]);
    done.add(file);
  };
  for (const file of imports.keys()) visit(file, []);
});
