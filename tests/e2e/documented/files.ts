/** The files that blocks of the documentation speak of, in the folder in which they run. */
import { cp } from "node:fs/promises";
import { join } from "node:path";
import { makePackage } from "../../../examples/make_package.ts";
import { ROOT } from "../../docs/blocks.ts";
import { withCertificates } from "../../signaling/certificates.ts";
import { zip } from "../../storage/zips.ts";

const LABELS = join(ROOT, "examples/minimal_instance.pkg.slp");
const CONFIG = join(ROOT, "examples/package/minimal_instance.centroid.yaml");

/** What a block says, and what makes the file in a folder that has `sleap-rtc.toml`. */
const FILES: Readonly<Record<string, (folder: string) => Promise<void>>> = {
  " training.zip": (folder) => makePackage(join(folder, "training.zip")),
  " track_package.zip": trackPackage,
  " labels.pkg.slp": (folder) => Deno.copyFile(LABELS, join(folder, "labels.pkg.slp")),
  " centroid.yaml": (folder) => configuration(folder, "centroid.yaml"),
  " centered_instance.yaml": (folder) => configuration(folder, "centered_instance.yaml"),
  " lab.toml": (folder) => Deno.copyFile(join(folder, "sleap-rtc.toml"), join(folder, "lab.toml")),
  " fullchain.pem": certificate,
  " dist/": programs,
  " --config-dir .": unpacked,
  " task docs": project,
  "git ": repository,
};

/** Makes what a text speaks of. */
export async function makeFiles(text: string, folder: string): Promise<void> {
  for (const [said, make] of Object.entries(FILES)) if (text.includes(said)) await make(folder);
}

/** What must be said somewhere. */
export const SPOKEN_OF: readonly string[] = Object.keys(FILES);

async function configuration(folder: string, name: string): Promise<void> {
  const text = await Deno.readTextFile(CONFIG);
  await Deno.writeTextFile(join(folder, name), text.replace(" minimal_instance.pkg.slp", " labels.pkg.slp"));
}

async function unpacked(folder: string): Promise<void> {
  await Deno.copyFile(LABELS, join(folder, "minimal_instance.pkg.slp"));
  await Deno.copyFile(CONFIG, join(folder, "minimal_instance.centroid.yaml"));
}

async function trackPackage(folder: string): Promise<void> {
  const script = "#!/bin/sh\nsleap-nn track --data_path labels.pkg.slp -o predictions.slp\n";
  const bytes = await zip([
    ["track_package/track-script.sh", script],
    ["track_package/labels.pkg.slp", await Deno.readFile(LABELS)],
  ]);
  await Deno.writeFile(join(folder, "track_package.zip"), bytes);
}

function certificate(folder: string): Promise<void> {
  return withCertificates(async ({ issue }) => {
    const { cert, key } = await issue("lab");
    await Deno.copyFile(cert, join(folder, "fullchain.pem"));
    await Deno.copyFile(key, join(folder, "privkey.pem"));
  });
}

async function programs(folder: string): Promise<void> {
  await Deno.mkdir(join(folder, "dist"));
  for (const name of ["client", "worker", "signaling"]) {
    const text = `#!/bin/sh\nexec ${
      JSON.stringify(join(import.meta.dirname!, "bin", `sleap-rtc-${name}`))
    } "$@"\n`;
    await Deno.writeTextFile(join(folder, "dist", `sleap-rtc-${name}`), text, { mode: 0o755 });
  }
}

/** A copy of this project, without what its programs make. */
async function project(folder: string): Promise<void> {
  const ignored = (await Deno.readTextFile(join(ROOT, ".gitignore"))).split(/\/?\n/);
  await Deno.mkdir(join(folder, "project"));
  for await (const { name } of Deno.readDir(ROOT)) {
    if (name === ".git" || ignored.includes(name)) continue;
    await cp(join(ROOT, name), join(folder, "project", name), { recursive: true });
  }
  await Deno.symlink(join(ROOT, "node_modules"), join(folder, "project/node_modules"));
}

/** A repository with a file that was changed since. */
async function repository(folder: string): Promise<void> {
  await run(folder, "git", ["init", "-q"]);
  await run(folder, "git", ["add", "."]);
  await run(folder, "git", [
    "-c",
    "user.name=Ada",
    "-c",
    "user.email=ada@example.org",
    "commit",
    "-qm",
    "first",
  ]);
  await Deno.writeTextFile(join(folder, "sleap-rtc.toml"), "# changed\n", { append: true });
}

async function run(cwd: string, program: string, args: string[]): Promise<void> {
  const { success, stderr } = await new Deno.Command(program, { args, cwd }).output();
  if (!success) throw new Error(new TextDecoder().decode(stderr));
}
