/** `deno task docs`: makes the parts of the documentation anew that come from the source. */
import { GENERATED, withReference } from "./reference.ts";

const ROOT = new URL("..", import.meta.url);

for (const [path, make] of Object.entries(GENERATED)) {
  const file = new URL(path, ROOT);
  await Deno.writeTextFile(file, withReference(await Deno.readTextFile(file), make()));
}
const files = Object.keys(GENERATED);
const { success } = await new Deno.Command(Deno.execPath(), { args: ["fmt", "--quiet", ...files], cwd: ROOT })
  .output();
if (!success) throw new Error("deno fmt cannot format the documentation");
