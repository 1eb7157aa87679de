import { join, relative, sep } from "node:path";
import type { Config, StorageEntry } from "../config/load.ts";
import { parseConfig } from "../config/load.ts";
import { platformKey } from "../config/surroundings.ts";
import { isS3Path } from "../config/schema.ts";
import type { ErrorCode } from "../config/error_code.ts";
import { UserError } from "../config/user_error.ts";
import { checkRelativePath, isInside } from "./containment.ts";
import { unlessAborted } from "./deadline.ts";
import { withFilesystem } from "./open.ts";

/** A backend's name that this machine has no configuration for; travels as `BACKEND_NOT_AVAILABLE::{name}`. */
export class StorageBackendNotFound extends UserError {
  static override readonly code: ErrorCode = "BACKEND_NOT_AVAILABLE";

  readonly backend: string;

  constructor(backend: string, available: readonly string[]) {
    super(`storage backend "${backend}" is not configured here`, {
      hint: available.length > 0 ? `configured: ${available.join(", ")}` : "no storage backend is configured",
    });
    this.backend = backend;
  }
}

/** What makes a backend; what is left out is plain: local, undescribed, links free to lead anywhere inside. */
export type BackendOptions = Pick<StorageEntry, "name" | "basePath"> & Partial<StorageEntry>;

/** A storage that does not say within this, in milliseconds, whether something is there counts as away. */
const ANSWER_MS = 4_000;

/** One storage that several machines may see, under a name that travels and a path that does not. */
export class StorageBackend {
  readonly name: string;
  /** Absolute; may be a link; may be missing at the moment. */
  readonly basePath: string;
  readonly type: string;
  readonly description: string;
  /** Links may not lead out of the user's folder either. */
  readonly confineToUserSubdir: boolean;

  constructor(
    { name, basePath, type = "local", description = "", confineToUserSubdir = false }: BackendOptions,
  ) {
    this.name = name;
    this.basePath = basePath;
    this.type = type;
    this.description = description;
    this.confineToUserSubdir = confineToUserSubdir;
  }

  /**
   * The absolute path of something below a user's folder, as text: no disk is touched and links are not resolved.
   * Throws `PathValidationError`.
   */
  resolvePath(userSubdir: string, relativePath: string): string {
    const components = [...checkRelativePath(userSubdir), ...checkRelativePath(relativePath)];
    return this.isObjectStore ? [this.basePath, ...components].join("/") : join(this.basePath, ...components);
  }

  /** Whether an absolute path, its links resolved, lies in this backend; false when it does not exist. */
  async validatePath(resolvedPath: string): Promise<boolean> {
    if (this.isObjectStore) return false;
    try {
      const paths = Promise.all([Deno.realPath(resolvedPath), Deno.realPath(this.basePath)]);
      const [path, root] = await unlessAborted(paths, AbortSignal.timeout(ANSWER_MS));
      return isInside(path, root);
    } catch {
      return false;
    }
  }

  /** Whether it is an object store: its files have keys, no paths on this machine. */
  get isObjectStore(): boolean {
    return isS3Path(this.basePath);
  }

  /** Whether the base path is a folder, or the store answers, at this moment; a mount that hangs is not there. */
  async isThere(): Promise<boolean> {
    try {
      const signal = AbortSignal.timeout(ANSWER_MS);
      return await withFilesystem(this, async (filesystem) => (await filesystem.stat("", signal)).isFolder);
    } catch {
      return false;
    }
  }
}

/** The backends of this machine by name. */
export class StorageConfig {
  readonly #backends: ReadonlyMap<string, StorageBackend>;

  constructor(entries: readonly BackendOptions[]) {
    this.#backends = new Map(entries.map((entry) => [entry.name, new StorageBackend(entry)]));
  }

  /** The backends of the loaded settings. */
  static fromConfig(config: Pick<Config, "storage">): StorageConfig {
    return new StorageConfig(config.storage);
  }

  /** The `[storage.*]` sections of a TOML text, paths as written. Throws `ConfigFileError`. */
  static fromToml(text: string, file = "sleap-rtc.toml"): StorageConfig {
    const entries = Object.entries(parseConfig(text, file).storage).flatMap(
      ([name, section]): BackendOptions[] => {
        const { base_path, type, description, confine_to_user_subdir: confineToUserSubdir } = section;
        const basePath = typeof base_path === "string" ? base_path : base_path[platformKey(Deno.build.os)];
        return basePath === undefined ? [] : [{ name, basePath, type, description, confineToUserSubdir }];
      },
    );
    return new StorageConfig(entries);
  }

  hasBackend(name: string): boolean {
    return this.#backends.has(name);
  }

  /** Throws {@link StorageBackendNotFound}. */
  getBackend(name: string): StorageBackend {
    const backend = this.#backends.get(name);
    if (!backend) throw new StorageBackendNotFound(name, this.listBackends());
    return backend;
  }

  /** Absolute path, as text. Throws {@link StorageBackendNotFound} and `PathValidationError`. */
  resolvePath(backend: string, userSubdir: string, relativePath: string): string {
    return this.getBackend(backend).resolvePath(userSubdir, relativePath);
  }

  /** Names, sorted. */
  listBackends(): string[] {
    return [...this.#backends.keys()].toSorted();
  }
}

/** A file's place in a backend: what travels instead of an absolute path. `/` separates in all of them. */
export interface StorageAddress {
  backend: string;
  /** First folder below the base path, or empty. */
  userSubdir: string;
  relativePath: string;
}

/** `a/b` below `root` as components; undefined when it is not below. */
export function componentsBelow(path: string, root: string): string[] | undefined {
  return isInside(path, root) ? relative(root, path).split(sep).filter((name) => name !== "") : undefined;
}
