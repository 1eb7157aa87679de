import { S3Filesystem } from "../../storage/s3.ts";
import { findServer, withServer } from "../s3/server.ts";
import { conformance } from "./conformance.ts";
import { withTempDir } from "./temp.ts";

Deno.test.sanitizer?.({ ops: true, resources: true });

const MIB = 2 ** 20;
const skip = findServer() === undefined ? "no S3 server, tests/s3/install.sh installs it" : undefined;

conformance("s3", (use) =>
  withTempDir((dir) =>
    withServer(dir, async (server) => {
      const client = server.newClient();
      try {
        const url = "s3://bucket/some prefix/below";
        await use(new S3Filesystem(url, { client, partBytes: 5 * MIB, copyPartBytes: 6 * MIB }));
      } finally {
        client.destroy();
      }
    })
  ), { folders: false, largeBytes: 17 * MIB + 5, manyFiles: 1_100, skip });
