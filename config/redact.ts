/** A second line of defence: what looks like a secret never leaves by a log line, whoever wrote the line. */
import { withoutCredentials } from "./mistake.ts";

const HIDDEN = "***";
const NAMES = "(?:[\\w-]*[_-])?(?:token|secret|password|passphrase|credential|api[_-]?key|authorization)|" +
  "(?:secretAccessKey|sessionToken|idToken|roomSecret)";

/** `name=value`, `"name": "value"` and the like; a value in quotes up to the closing one. */
const NAMED = new RegExp(
  `(?<![\\w-])(${NAMES})(["']?\\s*[=:]\\s*)("[^"]*"|'[^']*'|(?:bearer\\s+)?[^\\s"',;&)}\\]]+)`,
  "gi",
);
const NAME = new RegExp(`^(?:${NAMES})$`, "i");
const SHAPES: readonly [RegExp, string][] = [
  // Of an id token, which is a JWT.
  [/\beyJ[\w-]{5,}\.[\w-]+\.[\w-]*/g, HIDDEN],
  [/\bsleap-session:[\w+/=-]+/g, `sleap-session:${HIDDEN}`],
  [/\bbearer\s+[\w.~+/=-]+/gi, `Bearer ${HIDDEN}`],
];

/** A text without what looks like a token, a session string, a password or the credentials of a URL. */
export function redact(text: string): string {
  const shaped = SHAPES.reduce(
    (rest, [shape, hidden]) => rest.replace(shape, hidden),
    withoutCredentials(text),
  );
  return shaped.replace(NAMED, (_, name: string, between: string) => `${name}${between}${HIDDEN}`);
}

/** The same for every text in a JSON value; what is called like a secret is hidden altogether. */
export function redactData(value: unknown): unknown {
  if (typeof value === "string") return redact(value);
  if (Array.isArray(value)) return value.map(redactData);
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(
    Object.entries(value).map((
      [key, each],
    ) => [key, NAME.test(key) && each !== undefined ? HIDDEN : redactData(each)]),
  );
}
