/**
 * Puts what a program imports into a few files of JavaScript. `deno compile` alone embeds the whole `node_modules`
 * folder: the packages of the tests, type declarations, source maps, and the native library of every platform.
 */
import * as esbuild from "esbuild";
import { builtinModules } from "node:module";
import { basename } from "node:path";
import { fileURLToPath } from "node:url";
import manifest from "../deno.json" with { type: "json" };

const ROOT = fileURLToPath(new URL("..", import.meta.url));

/** Bytes of a bundle by origin: `own`, or the name of an npm package. */
export type Parts = Record<string, number>;

/** What a bundle is made of. */
export interface Bundle {
  parts: Parts;
  /** What of it is loaded at the start of the first entry point; the rest is loaded when it is needed. */
  atStart: Parts;
}

/** Import names that are not the package's own: `@zip-js/zip-js` is npm's `@zip.js/zip.js`. */
function aliases(): Record<string, string> {
  return Object.fromEntries(
    Object.entries(manifest.imports).flatMap(([name, specifier]) => {
      const wanted = /^npm:(.+)@/.exec(specifier)?.[1] ?? name;
      return wanted === name ? [] : [[name, wanted]];
    }),
  );
}

/** What the packages expect of Node.js, and what a binary does not need of them. */
const SUITED: esbuild.Plugin = {
  name: "suited",
  setup(build): void {
    const builtins = new RegExp(`^(${builtinModules.join("|")})$`);
    build.onResolve({ filter: builtins }, ({ path }) => ({
      // Some, as node:sqlite, have no name without it.
      path: path.startsWith("node:") ? path : `node:${path}`,
      external: true,
    }));
    // The search through node_modules; a binary knows where its library is.
    build.onLoad({ filter: /node-datachannel[\\/]dist[\\/]esm[\\/]lib[\\/]node-datachannel\.mjs$/ }, () => ({
      contents: 'import { loadAddon } from "./rtc/addon.ts"; export default loadAddon();',
      resolveDir: ROOT,
    }));
    // Only of a namespace does the bundler leave out what is not used: a third of zod, and of its time to start.
    build.onLoad({ filter: /\.ts$/ }, async ({ path }) => ({
      contents: (await Deno.readTextFile(path)).replace(
        /^import { z } from "zod";$/m,
        'import * as z from "zod";',
      ),
      loader: "ts",
    }));
    // Error texts in fifty languages, of which English alone is used, and that comes another way.
    build.onLoad({ filter: /zod[\\/]v4[\\/]locales[\\/]index\.js$/ }, () => ({ contents: "export {};" }));
  },
};

/** CommonJS packages ask for Node's modules at run time. */
const BANNER = 'import{createRequire as __createRequire}from"node:module";' +
  "const require=__createRequire(import.meta.url);";

/**
 * Writes `main.js`, `engine.js` and the like into `folder`, each named as its source, with what they share beside
 * them; returns what they are made of. Throws esbuild's errors.
 */
export async function bundle(
  entries: readonly string[],
  folder: string,
  commit: string,
): Promise<Bundle> {
  const { metafile } = await esbuild.build({
    absWorkingDir: ROOT,
    entryPoints: [...entries],
    entryNames: "[name]",
    chunkNames: "part-[hash]",
    outdir: folder,
    bundle: true,
    splitting: true,
    format: "esm",
    // Escapes would make the HDF5 library, which is in a text, a third larger.
    charset: "utf8",
    platform: "node",
    target: "esnext",
    minifySyntax: true,
    minifyWhitespace: true,
    legalComments: "none",
    metafile: true,
    logLevel: "error",
    banner: { js: BANNER },
    alias: aliases(),
    define: { SLEAP_RTC_COMMIT: JSON.stringify(commit) },
    plugins: [SUITED],
  });
  const { outputs } = metafile;
  return { parts: partsOf(Object.values(outputs)), atStart: partsOf(startFiles(entries[0]!, outputs)) };
}

/** Ends the bundler's process; without it a script does not end. */
export const stopBundler: () => Promise<void> = esbuild.stop;

type Outputs = esbuild.Metafile["outputs"];

function partsOf(outputs: readonly Outputs[string][]): Parts {
  const parts: Parts = {};
  for (const { inputs } of outputs) {
    for (const [path, { bytesInOutput }] of Object.entries(inputs)) {
      const origin = /.*node_modules\/((?:@[^/]+\/)?[^/]+)/.exec(path)?.[1] ?? "own";
      parts[origin] = (parts[origin] ?? 0) + bytesInOutput;
    }
  }
  return parts;
}

/** The files that are loaded before the program does anything: an entry point's, and what it imports statically. */
function startFiles(entry: string, outputs: Outputs): Outputs[string][] {
  const names = Object.keys(outputs).filter((name) => outputs[name]?.entryPoint === entry);
  // The list grows while it is gone through.
  for (const name of names) {
    for (const { path, kind } of outputs[name]?.imports ?? []) {
      if (kind === "import-statement" && path in outputs && !names.includes(path)) names.push(path);
    }
  }
  return names.map((name) => outputs[name]!);
}

/** Name of an entry point's bundle. */
export function bundleName(entry: string): string {
  return basename(entry).replace(/\.ts$/, ".js");
}
