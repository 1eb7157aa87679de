import { join } from "node:path";

/** Files of a certificate authority and of what it signed. */
export interface Certificates {
  /** Absolute path. */
  folder: string;
  /** The authority's own certificate. */
  authority: string;
  /** A certificate for this machine, its subject's name, and its key. */
  issue(name: string): Promise<{ cert: string; key: string }>;
}

async function openssl(folder: string, ...args: string[]): Promise<void> {
  const { success, stderr } = await new Deno.Command("openssl", { args, cwd: folder }).output();
  if (!success) throw new Error(new TextDecoder().decode(stderr));
}

const KEY = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"];

/** Runs a test with an authority of its own; its files are gone afterwards. */
export async function withCertificates(test: (certificates: Certificates) => Promise<void>): Promise<void> {
  const folder = await Deno.realPath(await Deno.makeTempDir({ prefix: "sleap-rtc-test-" }));
  try {
    await openssl(
      folder,
      "req",
      "-x509",
      ...KEY,
      "-days",
      "2",
      "-subj",
      "/CN=Authority",
      "-keyout",
      "ca.key",
      "-out",
      "ca.pem",
    );
    await Deno.writeTextFile(join(folder, "names"), "subjectAltName=DNS:localhost,IP:127.0.0.1\n");
    const issue = async (name: string): Promise<{ cert: string; key: string }> => {
      await openssl(
        folder,
        "req",
        ...KEY,
        "-subj",
        `/CN=${name}`,
        "-keyout",
        `${name}.key`,
        "-out",
        `${name}.csr`,
      );
      const authority = [
        "-CA",
        "ca.pem",
        "-CAkey",
        "ca.key",
        "-CAcreateserial",
        "-days",
        "2",
        "-extfile",
        "names",
      ];
      await openssl(folder, "x509", "-req", "-in", `${name}.csr`, ...authority, "-out", `${name}.pem`);
      return { cert: join(folder, `${name}.pem`), key: join(folder, `${name}.key`) };
    };
    await test({ folder, authority: join(folder, "ca.pem"), issue });
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

/** The name in the certificate that a server shows. */
export async function shownBy(port: number): Promise<string> {
  const child = new Deno.Command("openssl", {
    args: ["s_client", "-connect", `127.0.0.1:${port}`, "-servername", "localhost"],
    stdin: "null",
    stderr: "null",
  });
  const text = new TextDecoder().decode((await child.output()).stdout);
  return /^subject=.*CN ?= ?(.*)$/m.exec(text)?.[1] ?? "";
}
