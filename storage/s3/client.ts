import { S3Client, type S3ClientConfig } from "@aws-sdk/client-s3";
import { Transport } from "./transport.ts";

/**
 * A client as this storage needs it. Endpoint, region and credentials come from where the SDK always looks,
 * environment and `~/.aws`, unless `settings` say otherwise. Destroy it.
 */
export function newS3Client(settings: S3ClientConfig = {}): S3Client {
  const client = new S3Client({
    // Checksums are computed and verified here, natively and once.
    requestChecksumCalculation: "WHEN_REQUIRED",
    responseChecksumValidation: "WHEN_REQUIRED",
    requestHandler: new Transport(),
    ...settings,
  });
  signChecksumOnly(client);
  return client;
}

/**
 * Has a body signed by its CRC-32, which is among the signed headers, and not by a SHA-256 of its own, which takes
 * both sides longer than all else. The SDK does the same with every stream; against people, not accidents, TLS helps.
 */
function signChecksumOnly(client: S3Client): void {
  client.middlewareStack.add((next) => (args) => {
    const request: unknown = args.request;
    if (hasHeaders(request) && "x-amz-checksum-crc32" in request.headers) {
      request.headers["x-amz-content-sha256"] = "UNSIGNED-PAYLOAD";
    }
    return next(args);
  }, { step: "build", name: "signChecksumOnly" });
}

function hasHeaders(request: unknown): request is { headers: Record<string, string> } {
  return typeof request === "object" && request !== null && "headers" in request &&
    typeof request.headers === "object" && request.headers !== null;
}
