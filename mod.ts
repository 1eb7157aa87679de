/**
 * The library's face: what other Deno programs import. Submit jobs with {@link runClientJob}, run a signaling server
 * with {@link startSignaling}, translate between machines' storage with {@link StorageResolver}.
 * @module
 */
export { type Config, type ConfigFlags, loadConfig, parseConfig, type StorageEntry } from "./config/load.ts";
export { ERROR_CODES, type ErrorCode } from "./config/error_code.ts";
export { ConfigError, UserError } from "./config/user_error.ts";
export { formatMessage, type Message, parseMessage } from "./protocol/message.ts";
export { formatSession, parseSession, type Session } from "./protocol/session_string.ts";
export {
  type StorageAddress,
  StorageBackend,
  StorageBackendNotFound,
  StorageConfig,
} from "./storage/backend.ts";
export { PathValidationError } from "./storage/containment.ts";
export { StorageResolver } from "./storage/resolver.ts";
export { type SignalingOptions, type SignalingServer, startSignaling } from "./signaling/server.ts";
export { runClientJob } from "./client/job.ts";
export type { JobRequest } from "./client/undertaking.ts";
export { type ClientEvent, jsonScreen, type Screen, type Summary } from "./client/screen.ts";
export { textScreen } from "./client/terminal_screen.ts";
