/** The platforms that binaries are built for. */

/** One platform. */
export interface Target {
  /** What Deno calls it. */
  triple: string;
  /** Part of the binaries' names. */
  platform: string;
  /** The npm package with the native WebRTC library. */
  addonPackage: string;
  /** Of a program's file name. */
  suffix: "" | ".exe";
}

/** All of them. */
export const TARGETS: readonly Target[] = [
  target("x86_64-unknown-linux-gnu", "linux-x64", "linux-x64-gnu"),
  target("aarch64-unknown-linux-gnu", "linux-arm64", "linux-arm64-gnu"),
  target("x86_64-apple-darwin", "macos-x64", "darwin-x64"),
  target("aarch64-apple-darwin", "macos-arm64", "darwin-arm64"),
  target("x86_64-pc-windows-msvc", "windows-x64", "win32-x64-msvc"),
];

function target(triple: string, platform: string, addon: string): Target {
  const suffix = platform.startsWith("windows") ? ".exe" : "";
  return { triple, platform, addonPackage: `@node-datachannel/${addon}`, suffix };
}

/** The target of that triple or platform. Throws an error that lists what there is. */
export function findTarget(name: string): Target {
  const found = TARGETS.find(({ triple, platform }) => name === triple || name === platform);
  if (found) return found;
  const known = TARGETS.map(({ triple, platform }) => `  ${platform.padEnd(12)} ${triple}`).join("\n");
  throw new Error(`no binaries are built for "${name}"; expected one of\n${known}`);
}
