import { ConfigError, errorText } from "../config/user_error.ts";

/** A certificate with those that vouch for it, and its private key; both as PEM texts. */
export interface Tls {
  cert: string;
  key: string;
}

/** Where they lie. */
export interface TlsFiles {
  tlsCert?: string;
  tlsKey?: string;
}

/** Reads and checks them; undefined when no file is named. Throws {@link ConfigError}. */
export async function readTls({ tlsCert, tlsKey }: TlsFiles): Promise<Tls | undefined> {
  if (tlsCert === undefined && tlsKey === undefined) return undefined;
  if (tlsCert === undefined || tlsKey === undefined) {
    throw new ConfigError("a certificate and its key belong together", {
      hint: "give both --tls-cert and --tls-key",
    });
  }
  const [cert, key] = await Promise.all([read("--tls-cert", tlsCert), read("--tls-key", tlsKey)]);
  checkTls({ cert, key }, `${tlsCert} and ${tlsKey}`);
  return { cert, key };
}

/** Throws {@link ConfigError} unless a server can be run with them; `what` is what they are called. */
export function checkTls(tls: Tls, what: string): void {
  try {
    Deno.listenTls({ hostname: "127.0.0.1", port: 0, ...tls }).close();
  } catch (error) {
    throw new ConfigError(`${what} are no certificate and its key: ${errorText(error)}`, {
      hint: "both must be PEM files, the key without a password and that of the first certificate",
      cause: error,
    });
  }
}

async function read(flag: string, path: string): Promise<string> {
  try {
    return await Deno.readTextFile(path);
  } catch (error) {
    throw new ConfigError(`${flag}: cannot read ${path}: ${errorText(error)}`, { cause: error });
  }
}
