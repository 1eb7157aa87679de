import { codeOf, fault, faultOf } from "../faults.ts";
import { FilesystemError, type FilesystemFault } from "../filesystem.ts";

/** Which fault an error of the service is, by its code. Source: the S3 API's list of error codes. */
const FAULTS: Readonly<Record<string, FilesystemFault>> = {
  NoSuchKey: "missing",
  NotFound: "missing",
  NoSuchBucket: "missing",
  AccessDenied: "denied",
  Forbidden: "denied",
  AllAccessDisabled: "denied",
  ExpiredToken: "denied",
  InvalidAccessKeyId: "denied",
  InvalidToken: "denied",
  SignatureDoesNotMatch: "denied",
  BadDigest: "corrupt",
  InvalidDigest: "corrupt",
  XAmzContentSHA256Mismatch: "corrupt",
  XAmzContentChecksumMismatch: "corrupt",
  IncompleteBody: "gone",
  RequestTimeout: "gone",
  InternalError: "gone",
  ServiceUnavailable: "gone",
  SlowDown: "gone",
  QuotaExceeded: "full",
  // Of servers other than the provider's own.
  ObjectParentIsFile: "not a folder",
  ExistingObjectIsDirectory: "not a file",
  XAdminUserNotFound: "denied",
};

/** For an answer without a body, to a HEAD request, or of a proxy. */
const STATUSES: Readonly<Record<number, FilesystemFault>> = {
  401: "denied",
  403: "denied",
  404: "missing",
  408: "gone",
  429: "gone",
  507: "full",
};

/** Names of errors that the client makes itself, without a code. */
const CLIENT_FAULTS: Readonly<Record<string, FilesystemFault>> = {
  TimeoutError: "gone",
  CredentialsProviderError: "denied",
};

/** What is read of an error that the service answered with. */
interface ServiceError extends Error {
  $metadata: { httpStatusCode?: number | undefined; requestId?: string | undefined };
}

function isServiceError(error: Error): error is ServiceError {
  return "$fault" in error && "$metadata" in error && typeof error.$metadata === "object";
}

/** What the service said, without what belongs in no log: keys, and the text that was signed. */
class ServiceFailure extends Error {
  /** HTTP status of the answer. */
  readonly status: number | undefined;
  /** By which the service's operator finds the request. */
  readonly requestId: string | undefined;

  constructor({ name, message, $metadata }: ServiceError) {
    super(message);
    this.name = name;
    this.status = $metadata.httpStatusCode;
    this.requestId = $metadata.requestId;
  }
}

/** The service's own code of an error, such as `NoSuchUpload`; undefined when the service has not answered. */
export function serviceCode(error: unknown): string | undefined {
  const cause = error instanceof FilesystemError ? error.cause : undefined;
  return cause instanceof ServiceFailure ? cause.name : undefined;
}

/** Anything that the client threw, as the storage's error. */
export function s3Fault(error: unknown, path: string): unknown {
  if (error instanceof FilesystemError || !(error instanceof Error)) return error;
  if (isServiceError(error)) {
    const { name, $metadata: { httpStatusCode: status = 0 } } = error;
    const kind = FAULTS[name] ?? STATUSES[status] ?? (status >= 500 ? "gone" : "failed");
    return fault(kind, path, new ServiceFailure(error), `${name}, HTTP ${status}`);
  }
  const kind = faultOf(error) ?? CLIENT_FAULTS[error.name];
  if (kind) return fault(kind, path, error);
  // A code is the system's or the connection's; anything else is a mistake in the settings, and says which.
  return codeOf(error) === undefined
    ? fault("failed", path, error, error.message)
    : fault("gone", path, error);
}
