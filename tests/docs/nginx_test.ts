import assert from "node:assert/strict";
import { join } from "node:path";
import { blocksIn } from "./blocks.ts";

/** Whether a program is installed. */
function has(program: string, flag: string): boolean {
  try {
    return new Deno.Command(program, { args: [flag], stdout: "null", stderr: "null" }).outputSync().success;
  } catch {
    return false;
  }
}

const ignore = !has("nginx", "-v") || !has("openssl", "version");
const note = ignore ? " (skipped: nginx or openssl is not installed)" : "";

Deno.test({
  name: `every nginx configuration in the documentation is understood${note}`,
  ignore,
  fn: async () => {
    const folder = await Deno.makeTempDir();
    try {
      const [certificate, key] = [join(folder, "cert.pem"), join(folder, "key.pem")];
      await succeed("openssl", [
        ..."req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 1 -subj /CN=x".split(" "),
        ...["-keyout", key, "-out", certificate],
      ]);
      const blocks = await blocksIn("nginx");
      assert.ok(blocks.length > 0);
      for (const [index, { text }] of blocks.entries()) {
        const server = text.replace(/(ssl_certificate) +\S+;/, `$1 ${certificate};`)
          .replace(/(ssl_certificate_key) +\S+;/, `$1 ${key};`).replace("listen 443", "listen 127.0.0.1:1");
        const file = join(folder, `${index}.conf`);
        const main = `pid ${join(folder, "pid")};\nerror_log stderr;\nevents {}\nhttp {\naccess_log off;\n`;
        await Deno.writeTextFile(file, `${main}${server}}\n`);
        await succeed("nginx", ["-t", "-q", "-p", folder, "-c", file]);
      }
    } finally {
      await Deno.remove(folder, { recursive: true });
    }
  },
});

async function succeed(program: string, args: readonly string[]): Promise<void> {
  const { success, stderr } = await new Deno.Command(program, { args: [...args], stdout: "null" }).output();
  assert.ok(success, new TextDecoder().decode(stderr));
}
