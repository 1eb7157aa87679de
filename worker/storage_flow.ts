/** The worker's side of both storage flows: which backend, which paths, and whether they may be used. */
import { getLogger } from "@logtape/logtape";
import { errorText, reasonOf } from "../config/user_error.ts";
import type { Message } from "../protocol/message.ts";
import { type Challenge, challengeSchema } from "../protocol/storage_proof.ts";
import { parseJson } from "../protocol/parse_json.ts";
import { NO_STORAGE_TEXT } from "../protocol/refusal.ts";
import { type StorageBackend, StorageConfig } from "../storage/backend.ts";
import { unlessAborted } from "../storage/deadline.ts";
import { PathValidationError } from "../storage/containment.ts";
import { withStore } from "../storage/object_store.ts";
import { differences } from "../storage/proof.ts";
import { StorageResolver } from "../storage/resolver.ts";
import { checkReadable, keyOf, localPlaces, type StoragePlaces, storePlaces } from "./storage_places.ts";

const logger = getLogger(["sleap-rtc", "worker", "storage"]);

/** A mount that does not answer holds nothing up for longer than this, in milliseconds: a client waits for 10 s. */
const ANSWER_MS = 8_000;
/** A path that takes longer than this to check gets a warning, in milliseconds. */
const SLOW_MS = 1_000;
/** A nonce file is looked for this long and this often, in milliseconds. */
const NONCE_LIMIT_MS = 3_000;
const NONCE_PAUSE_MS = 250;
/** Longest content of a nonce file that is read. */
const NONCE_BYTES = 256;
/** Name of the one backend that stands for the legacy root. */
const LEGACY = "legacy";

/** State of one client's storage conversation; a job's paths never leak into the next. */
export class StorageFlow {
  readonly #backends: StorageConfig;
  readonly #resolver: StorageResolver;
  readonly #legacy: StorageResolver | undefined;
  readonly #peer: string;
  #backend: string | undefined;
  #userSubdir = "";
  #input: string | undefined;
  #output: string | undefined;

  /** `legacyRoot` is the shared root of the legacy flow, if there is one; `peer` is for the log. */
  constructor(backends: StorageConfig, legacyRoot: string | undefined, peer: string) {
    this.#backends = backends;
    this.#resolver = new StorageResolver(backends);
    this.#legacy = legacyRoot === undefined ? undefined : new StorageResolver(
      new StorageConfig([{ name: LEGACY, basePath: legacyRoot }]),
    );
    this.#peer = peer;
  }

  /** The storage that a client may name. */
  get backends(): StorageConfig {
    return this.#backends;
  }

  /** Forgets backend and paths. */
  reset(): void {
    this.#backend = undefined;
    this.#userSubdir = "";
    this.#input = undefined;
    this.#output = undefined;
  }

  /** `STORAGE_BACKEND`: begins a storage-backend flow; a backend whose base path is gone is not available. */
  async chooseBackend(name: string): Promise<Message> {
    this.reset();
    if (this.#backends.hasBackend(name) && await this.#backends.getBackend(name).isThere()) {
      this.#backend = name;
      return { type: "PATH_VALIDATED", what: "backend" };
    }
    logger.warn("the client asks for backend {name}, which is not available here", { name });
    return { type: "BACKEND_NOT_AVAILABLE", name };
  }

  /** `USER_SUBDIR`: checked together with the paths. */
  chooseUserSubdir(subdir: string): void {
    this.#userSubdir = subdir;
  }

  /** `SHARED_INPUT_PATH`: answered by `PATH_VALIDATED::input` or `PATH_ERROR`. */
  chooseInput(path: string): Promise<Message> {
    this.#input = undefined;
    return this.#check("input", path, async (resolver, backend, subdir) => {
      const store = this.#store();
      if (!store) await checkReadable(resolver, backend, subdir, path);
      else if (!await withStore(store, (open) => open.exists(keyOf(subdir, path)))) {
        throw new PathValidationError("missing", path, `${store.basePath} has no such object`);
      }
      this.#input = path;
    });
  }

  /**
   * `STORAGE_PROOF`: whether the input path leads to the very file that the client sees. When it does not, the path is
   * forgotten. Answered by `STORAGE_PROVEN` or `STORAGE_DIFFERS`.
   */
  async prove(json: string): Promise<Message> {
    const [current, input] = [this.#current(), this.#input];
    const challenge = parseJson(challengeSchema, json);
    if (!current || input === undefined || !challenge) {
      return { type: "STORAGE_DIFFERS", text: "there is no input path, or the challenge was not understood" };
    }
    const comparing = unlessAborted(compare(...current, input, challenge), AbortSignal.timeout(ANSWER_MS));
    const found = await comparing.catch((error: unknown) => errorText(error));
    if (typeof found !== "string") return { type: "STORAGE_PROVEN", nonce: found.nonce };
    logger.warn("{path} of {peer} is not the same file here: {found}", {
      path: input,
      peer: this.#peer,
      found,
    });
    this.#input = undefined;
    return { type: "STORAGE_DIFFERS", text: found };
  }

  /** `SHARED_OUTPUT_PATH`: the folder is made; answered by `PATH_VALIDATED::output` or `PATH_ERROR`. */
  chooseOutput(path: string): Promise<Message> {
    this.#output = undefined;
    return this.#check("output", path, async (resolver, backend, subdir) => {
      // A store has no folders to make.
      if (this.#store()) keyOf(subdir, path);
      else await resolver.makeFolder(backend, subdir, path);
      this.#output = path;
    });
  }

  /** What the next job uses, and forgets it; undefined when a path is missing. */
  takePlaces(): StoragePlaces | undefined {
    const [resolver, backend, subdir] = this.#current() ?? [];
    const [input, output] = [this.#input, this.#output];
    this.#input = undefined;
    this.#output = undefined;
    if (!resolver || backend === undefined || subdir === undefined) return undefined;
    if (input === undefined || output === undefined) return undefined;
    const store = this.#store();
    if (store) return storePlaces(store, subdir, input, output);
    return localPlaces(resolver, backend, subdir, input, output);
  }

  /** The chosen backend, if it is an object store. */
  #store(): StorageBackend | undefined {
    const backend = this.#backend === undefined ? undefined : this.#backends.getBackend(this.#backend);
    return backend?.isObjectStore ? backend : undefined;
  }

  #current(): [resolver: StorageResolver, backend: string, subdir: string] | undefined {
    if (this.#backend !== undefined) return [this.#resolver, this.#backend, this.#userSubdir];
    return this.#legacy ? [this.#legacy, LEGACY, ""] : undefined;
  }

  async #check(
    what: "input" | "output",
    path: string,
    check: (resolver: StorageResolver, backend: string, subdir: string) => Promise<void>,
  ): Promise<Message> {
    const current = this.#current();
    if (!current) return { type: "PATH_ERROR", text: NO_STORAGE_TEXT };
    const started = performance.now();
    try {
      await unlessAborted(check(...current), AbortSignal.timeout(ANSWER_MS));
      return { type: "PATH_VALIDATED", what };
    } catch (error) {
      if (!(error instanceof PathValidationError)) {
        logger.error("{what} path {path}: {reason}", { what, path, ...reasonOf(error) });
        return { type: "PATH_ERROR", text: `Path validation error: ${what} path cannot be used` };
      }
      const security = error.refusal === "outside" ? "security: " : "";
      logger.warn(`${security}refused the {what} path {path} of {peer} in {backend}: {detail}`, {
        what,
        path,
        peer: this.#peer,
        backend: current[1],
        detail: error.detail,
      });
      return { type: "PATH_ERROR", text: error.message };
    } finally {
      const ms = performance.now() - started;
      const facts = { what, ms: ms.toFixed(1) };
      if (ms > SLOW_MS) logger.warn("checking the {what} path took {ms} ms", facts);
      else logger.info("checking the {what} path took {ms} ms", facts);
    }
  }
}

/** The nonce when file and nonce are as the challenge says; else what is not. Throws `PathValidationError`. */
async function compare(
  resolver: StorageResolver,
  backend: string,
  subdir: string,
  input: string,
  challenge: Challenge,
): Promise<{ nonce: string } | string> {
  const { file, info } = await resolver.open(backend, subdir, input);
  using opened = file;
  const found = await differences({ file: opened, info }, challenge);
  if (found.length > 0) return found.join("; ");
  if (challenge.nonce === null) return { nonce: "" };
  const beside = [...input.split("/").slice(0, -1), challenge.nonce].join("/");
  const nonce = await readNonce(resolver, backend, subdir, beside);
  return nonce === undefined ? "a file that was just written there is not seen here" : { nonce };
}

/** Another machine's new file can be late on a network file system: it is looked for again and again for a while. */
async function readNonce(
  resolver: StorageResolver,
  backend: string,
  subdir: string,
  path: string,
): Promise<string | undefined> {
  for (let waited = 0;; waited += NONCE_PAUSE_MS) {
    try {
      const { file } = await resolver.open(backend, subdir, path);
      using opened = file;
      const bytes = new Uint8Array(NONCE_BYTES);
      const read = await opened.read(bytes);
      return new TextDecoder().decode(bytes.subarray(0, read ?? 0));
    } catch (error) {
      if (!(error instanceof PathValidationError) || waited >= NONCE_LIMIT_MS) return undefined;
    }
    await new Promise((resolve) => setTimeout(resolve, NONCE_PAUSE_MS));
  }
}
