/**
 * What the programs are given, from source and compiled, and what `doctor` looks for. Paths, hosts and variables that
 * only the configuration names cannot be listed here; the worker narrows them for its engine when it starts.
 */

/** Permissions of a program, as its flags: `--allow-read`, `--allow-sys=homedir,statfs`. */
export type PermissionFlags = readonly string[];

export const CLIENT_PERMISSIONS: PermissionFlags = [
  "--allow-read",
  "--allow-write",
  "--allow-net",
  "--allow-env",
  "--allow-sys=homedir,statfs,osRelease",
  "--allow-ffi",
];

/** Of the launcher, which hands on to the sandboxed engine no more than it has itself. */
export const WORKER_PERMISSIONS: PermissionFlags = [
  "--allow-read",
  "--allow-write",
  "--allow-net",
  "--allow-env",
  "--allow-sys=homedir,statfs,osRelease,hostname,uid",
  "--allow-ffi",
  "--allow-run",
];

/** Files for its store and the certificate alone: it gives up the others when it has started. */
export const SIGNALING_PERMISSIONS: PermissionFlags = [
  "--allow-read",
  "--allow-write",
  "--allow-net",
  "--allow-env=SLEAP_RTC_STORE,SLEAP_RTC_ICE_CREDENTIAL,SLEAP_RTC_ADMIN_KEY,NO_COLOR,FORCE_COLOR,CLICOLOR_FORCE",
  "--allow-sys=homedir",
];
