/** What the sandboxed engine may do, worked out from its settings. */
import { homedir } from "node:os";
import { dirname, isAbsolute, join } from "node:path";
import { fileURLToPath } from "node:url";
import { isS3Path } from "../config/schema.ts";
import { EMBEDDED_ADDON } from "../rtc/addon.ts";
import { apiUrl } from "../signaling/account.ts";
import type { EngineSettings } from "./engine_messages.ts";

/** One kind of Deno permission: all of it, or what it is narrowed to. */
export type Grant = true | readonly string[];

/** What the engine may do; anything else, import of remote code included, is refused. */
export type EnginePermissions = Readonly<Record<PermissionKind, Grant>>;

/** In the order in which people are told. */
const KINDS = ["read", "write", "net", "run", "ffi", "env", "sys"] as const;
type PermissionKind = typeof KINDS[number];

/** node-datachannel looks at the first to tell glibc from musl; containment at the second for what was really opened. */
const SYSTEM_FILES: readonly string[] = ["/usr/bin/ldd", "/proc/self/fd"];

/** What the client library of object stores reads of the environment. */
const STORE_VARIABLES: readonly string[] = [
  "AWS_*",
  "HOME",
  "USERPROFILE",
  "HOMEPATH",
  "HOMEDRIVE",
  "_X_AMZN_TRACE_ID",
];

/** Absolute paths, and where they lead when they are links; one that is not there stays as it is. */
export async function truePaths(paths: readonly string[]): Promise<string[]> {
  const found = await Promise.all(paths.map((path) => Deno.realPath(path).catch(() => path)));
  return [...new Set([...paths, ...found])];
}

/** Where the environment says that object stores are; undefined for the service's own many hosts. */
function storeEndpoint(): string | undefined {
  const url = Deno.env.get("AWS_ENDPOINT_URL_S3") ?? Deno.env.get("AWS_ENDPOINT_URL");
  return url !== undefined && URL.canParse(url) ? hostOf(url) : undefined;
}

/** `host:port` of a URL, as a net permission names it. */
function hostOf(url: string): string {
  const { hostname, port, protocol } = new URL(url);
  return `${hostname}:${port || (protocol === "wss:" || protocol === "https:" ? 443 : 80)}`;
}

/** Where the signaling server is, as net permissions name it. */
export function signalingHosts(
  { signalingHttp, signalingWebsocket }: Pick<EngineSettings, "signalingHttp" | "signalingWebsocket">,
): string[] {
  return [hostOf(apiUrl(signalingHttp, "/")), hostOf(signalingWebsocket)];
}

/** Folders of this machine that the settings name as storage. */
export function storageFolders(
  { storage, legacyRoot }: Pick<EngineSettings, "storage" | "legacyRoot">,
): string[] {
  const bases = storage.map(({ basePath }) => basePath).filter((path) => !isS3Path(path));
  return legacyRoot === undefined ? bases : [...bases, legacyRoot];
}

/** Absolute paths of the job programs that are installed. */
export function jobPrograms(
  { trainCommand, trackCommand }: Pick<EngineSettings, "trainCommand" | "trackCommand">,
): string[] {
  const programs = [trainCommand[0], trackCommand[0]];
  return [...new Set(programs.filter((path): path is string => path !== undefined && isAbsolute(path)))];
}

/** The engine's permissions: base paths, scratch, the signaling host, the native addon, the job programs. */
export async function enginePermissions(settings: EngineSettings): Promise<EnginePermissions> {
  const usesStores = settings.storage.some(({ basePath }) => isS3Path(basePath));
  const { scratch, incoming, jobs, addon } = settings;
  const writable = await truePaths([...storageFolders(settings), scratch, incoming, jobs]);
  const modules = fileURLToPath(new URL("../node_modules", import.meta.url));
  const library = Deno.build.standalone ? dirname(addon ?? EMBEDDED_ADDON) : modules;
  const endpoint = usesStores ? storeEndpoint() : undefined;
  // To listen to trainers at free ports, too; nothing can be connected to at port 0.
  const hosts = [...signalingHosts(settings), "127.0.0.1:0"];
  return {
    read: [...writable, ...(usesStores ? [join(homedir(), ".aws")] : []), library, ...SYSTEM_FILES],
    write: writable,
    net: usesStores && endpoint === undefined
      ? true
      : [...new Set(endpoint === undefined ? hosts : [...hosts, endpoint])],
    // A sandbox around the job programs is started in their place.
    run: settings.jobSandbox === undefined ? jobPrograms(settings) : [settings.jobSandbox],
    ffi: [library],
    // The client library of object stores finds endpoint and credentials in the environment and below ~/.aws.
    env: usesStores ? STORE_VARIABLES : [],
    // Free space is asked for before anything is unpacked.
    sys: usesStores ? ["statfs", "osRelease"] : ["statfs"],
  };
}

/** The wanted permissions without those that this process lacks, which it cannot hand on; and the lacking ones. */
export async function heldPermissions(
  wanted: EnginePermissions,
): Promise<{ held: EnginePermissions; lacking: readonly string[] }> {
  const lacking: string[] = [];
  const held = await Array.fromAsync(KINDS, async (kind): Promise<[PermissionKind, Grant]> => {
    const grant = wanted[kind];
    if (grant === true) {
      if (await holds(kind)) return [kind, true];
      lacking.push(`--allow-${kind}`);
      return [kind, []];
    }
    const own = await Promise.all(grant.map((what) => holds(kind, what)));
    const missing = grant.filter((_, index) => !own[index]);
    if (missing.length > 0) lacking.push(`--allow-${kind}=${missing.join(",")}`);
    return [kind, grant.filter((_, index) => own[index])];
  });
  return { held: Object.fromEntries(held) as Record<PermissionKind, Grant>, lacking };
}

/** Whether this process has a permission itself: for one thing, or altogether. */
export async function holds(kind: PermissionKind, what?: string): Promise<boolean> {
  const descriptors = {
    read: { name: "read", path: what },
    write: { name: "write", path: what },
    net: { name: "net", host: what },
    run: { name: "run", command: what },
    ffi: { name: "ffi", path: what },
    env: { name: "env", variable: what },
    sys: { name: "sys", kind: what },
  };
  return (await Deno.permissions.query(descriptors[kind] as Deno.PermissionDescriptor)).state === "granted";
}

/** As the `deno` option of a Web Worker takes them. */
export function workerPermissions(permissions: EnginePermissions): Deno.PermissionOptionsObject {
  // An empty list is no narrower than none: say none.
  const entries = KINDS.map((kind) => {
    const grant = permissions[kind];
    return [kind, grant === true ? true : grant.length > 0 ? [...grant] : false];
  });
  return { ...Object.fromEntries(entries), import: false };
}

/** One line for each kind, aligned: `  read   /mnt/vast, /tmp/scratch`. */
export function permissionTable(permissions: EnginePermissions): string {
  return KINDS.map((kind) => {
    const grant = permissions[kind];
    return `  ${kind.padEnd(6)} ${grant === true ? "anything" : grant.join(", ") || "nothing"}`;
  }).join("\n");
}
