import { ConfigError } from "../config/user_error.ts";

/** Web pages whose scripts may use the server, each as browsers spell it: `https://lab.example`. */
export type Origins = ReadonlySet<string>;

/**
 * Whether a request may be answered. Browsers name the page's origin; programs name none. Without this check every
 * page that somebody in the laboratory opens could use a server that only the laboratory reaches.
 */
export function isFromAllowedOrigin(request: Request, allowed: Origins): boolean {
  const origin = request.headers.get("origin");
  return origin === null || allowed.has(origin);
}

/** An origin from the command line. Throws {@link ConfigError}. */
export function parseOrigin(text: string): string {
  const url = URL.parse(text);
  if (url !== null && /^https?:$/.test(url.protocol) && url.origin === text.replace(/\/$/, "")) {
    return url.origin;
  }
  throw new ConfigError(`--allow-origin: "${text}" is no origin`, {
    hint: "write scheme, host and, unless it is the usual one, port: https://lab.example:8443",
  });
}
