import {
  checkRelativePath,
  makeFolderInside,
  type OpenedFile,
  openInside,
  PathValidationError,
  resolveExisting,
} from "./containment.ts";
import { componentsBelow, type StorageAddress, type StorageConfig } from "./backend.ts";

/** Translates between what travels (backend, user subdirectory, relative path) and this machine's paths, safely. */
export class StorageResolver {
  readonly #config: StorageConfig;

  constructor(config: StorageConfig) {
    this.#config = config;
  }

  /**
   * The true path of something that exists. Throws `StorageBackendNotFound` and `PathValidationError`.
   */
  resolve(backend: string, userSubdir: string, relativePath: string): Promise<string> {
    return this.#inside(backend, userSubdir, relativePath, resolveExisting);
  }

  /** Opens a file for reading. Throws `StorageBackendNotFound` and `PathValidationError`. */
  open(backend: string, userSubdir: string, relativePath: string): Promise<OpenedFile> {
    return this.#inside(backend, userSubdir, relativePath, openInside);
  }

  /** Makes a folder and those above it. Throws `StorageBackendNotFound` and `PathValidationError`. */
  makeFolder(backend: string, userSubdir: string, relativePath: string): Promise<string> {
    return this.#inside(backend, userSubdir, relativePath, makeFolderInside);
  }

  /**
   * Where an absolute path lies: the first folder below the base is the user subdirectory (PROTOCOL.md section 11.1).
   * Links are resolved on both sides. Throws `StorageBackendNotFound`; `PathValidationError` when it lies elsewhere
   * or does not exist.
   */
  async toRelative(absolutePath: string, backend: string): Promise<StorageAddress> {
    const { basePath } = this.#config.getBackend(backend);
    const [path, root] = [await realPath(absolutePath, absolutePath), await realPath(basePath, absolutePath)];
    const components = componentsBelow(path, root);
    if (!components) throw new PathValidationError("outside", absolutePath, `${path} is not below ${root}`);
    const userSubdir = components.length > 1 ? components[0]! : "";
    return { backend, userSubdir, relativePath: components.slice(userSubdir === "" ? 0 : 1).join("/") };
  }

  /** The first backend, by name, that an absolute path lies in; undefined when none. */
  async locate(absolutePath: string): Promise<StorageAddress | undefined> {
    for (const name of this.#config.listBackends()) {
      if (await this.#config.getBackend(name).validatePath(absolutePath)) {
        return this.toRelative(absolutePath, name);
      }
    }
    return undefined;
  }

  async #inside<Result>(
    backend: string,
    userSubdir: string,
    relativePath: string,
    operation: (root: string, relative: string) => Promise<Result>,
  ): Promise<Result> {
    const { basePath, confineToUserSubdir } = this.#config.getBackend(backend);
    try {
      const [user, rest] = [checkRelativePath(userSubdir), checkRelativePath(relativePath)];
      if (!confineToUserSubdir) return await operation(basePath, [...user, ...rest].join("/"));
      return await operation(await resolveExisting(basePath, user.join("/")), rest.join("/"));
    } catch (error) {
      // The peer gets back the path it sent, not one that it never saw.
      if (!(error instanceof PathValidationError)) throw error;
      throw new PathValidationError(error.refusal, relativePath, error.detail, error.cause);
    }
  }
}

async function realPath(path: string, received: string): Promise<string> {
  try {
    return await Deno.realPath(path);
  } catch (error) {
    throw new PathValidationError("missing", received, `${path} is not there`, error);
  }
}
