/** What `--version` says. */
import manifest from "../deno.json" with { type: "json" };

/** Put in by `scripts/bundle.ts`; not defined when a program runs from source. */
declare const SLEAP_RTC_COMMIT: string | undefined;

/** The commit that a binary was made of; undefined from source. */
const COMMIT = typeof SLEAP_RTC_COMMIT === "string" ? SLEAP_RTC_COMMIT : undefined;

/** One line: program, version, commit, Deno. */
export function versionText(program: string): string {
  const origin = COMMIT === undefined ? "from source" : `commit ${COMMIT}`;
  return `${program} ${manifest.version} (${origin}, Deno ${Deno.version.deno})`;
}
