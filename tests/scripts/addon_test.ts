import assert from "node:assert/strict";
import { fetchAddon } from "../../scripts/binary.ts";
import { findTarget, TARGETS } from "../../scripts/targets.ts";

/** What machine a library's header says it is for. */
function machineOf(bytes: Uint8Array): string {
  const view = new DataView(bytes.buffer);
  if (view.getUint32(0) === 0x7f454c46) return `ELF ${view.getUint16(18, true).toString(16)}`;
  if (view.getUint32(0, true) === 0xfeedfacf) return `Mach-O ${view.getUint32(4, true).toString(16)}`;
  const pe = view.getUint32(0x3c, true);
  assert.equal(view.getUint32(pe), 0x50450000);
  return `PE ${view.getUint16(pe + 4, true).toString(16)}`;
}

/** As the headers of the three formats number them. */
const MACHINES: Readonly<Record<string, string>> = {
  "linux-x64": "ELF 3e",
  "linux-arm64": "ELF b7",
  "macos-x64": "Mach-O 1000007",
  "macos-arm64": "Mach-O 100000c",
  "windows-x64": "PE 8664",
};

for (const target of TARGETS) {
  Deno.test(`the native library for ${target.platform} is of that platform`, async () => {
    const folder = await Deno.makeTempDir();
    try {
      const path = await fetchAddon(target, folder);
      assert.equal(machineOf(await Deno.readFile(path)), MACHINES[target.platform]);
    } finally {
      await Deno.remove(folder, { recursive: true });
    }
  });
}

Deno.test("targets have two names each; any other is refused with a list", () => {
  assert.equal(findTarget("aarch64-apple-darwin"), findTarget("macos-arm64"));
  assert.throws(() => findTarget("solaris"), /"solaris"; expected one of\n\s+linux-x64/);
});
