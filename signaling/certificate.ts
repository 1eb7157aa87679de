import tls from "node:tls";
import { UserError } from "../config/user_error.ts";

/**
 * When the certificate of `host:port` expires, whether it is trusted or not; undefined when that is not told. Nothing
 * is sent to the server. Throws {@link UserError} when there is no TLS within `limitMs`.
 */
export async function certificateOf(host: string, limitMs: number): Promise<Date | undefined> {
  const { hostname, port } = new URL(`https://${host}`);
  const name = hostname.replace(/^\[|\]$/g, "");
  const { promise, resolve, reject } = Promise.withResolvers<string | undefined>();
  const fail = (why: string): void =>
    reject(new UserError(`no TLS with ${host}: ${why}`, { code: "SIGNALING_UNREACHABLE" }));
  const timer = setTimeout(() => fail(`no answer within ${limitMs / 1000} s`), limitMs);
  const isName = /[a-z]/i.test(name) && !name.includes(":");
  const socket = tls.connect({
    host: name,
    port: Number(port || 443),
    rejectUnauthorized: false,
    ...(isName ? { servername: name } : {}),
  });
  try {
    socket.once("secureConnect", () => resolve(socket.getPeerCertificate()?.valid_to));
    socket.once("error", (error: Error) => fail(error.message));
    const text = await promise;
    const time = Date.parse(text ?? "");
    return Number.isNaN(time) ? undefined : new Date(time);
  } finally {
    clearTimeout(timer);
    socket.on("error", () => {});
    socket.destroy();
  }
}
