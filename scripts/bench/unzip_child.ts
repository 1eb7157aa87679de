/** Unpacks an archive, its argument, into each folder that it reads a line of; prints its memory, then the seconds. */
import { dirname } from "node:path";
import { fileURLToPath } from "node:url";
import { TextLineStream } from "../text_lines.ts";

const [archive = ""] = Deno.args;
const root = dirname(archive);
const modules = fileURLToPath(new URL("../../node_modules", import.meta.url));
// As worker/launch.ts starts the engine.
const sandbox = new Worker(new URL("./unzip_sandbox.ts", import.meta.url), {
  type: "module",
  deno: {
    permissions: {
      read: [root, modules, "/proc/self/fd"],
      write: [root],
      sys: ["statfs"],
      env: false,
      ffi: false,
      import: false,
      net: false,
      run: false,
    },
  },
});

const answer = (): Promise<unknown> =>
  new Promise((resolve, reject) => {
    sandbox.onmessage = ({ data }): void => resolve(data);
    sandbox.onerror = (event): void => reject(new Error(event.message));
  });

await answer();
console.log(Deno.memoryUsage().rss);
const folders = Deno.stdin.readable.pipeThrough(new TextDecoderStream()).pipeThrough(new TextLineStream());
for await (const folder of folders) {
  sandbox.postMessage({ archive, folder });
  console.log(await answer());
}
