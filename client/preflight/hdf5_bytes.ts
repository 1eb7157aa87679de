/** Bytes that HDF5 reads where they lie: in a part of a file, or in memory, and none of them twice. */
import type { H5Module } from "h5wasm/src/hdf5_util_helpers.d.ts";
import type { LabelsSource } from "./labels_facts.ts";

type Filesystem = H5Module["FS"];

/** A file of the HDF5 library's own file system, for as long as this is not disposed of. */
export class Hdf5Bytes implements Disposable {
  /** Its name there. */
  readonly path = "/labels";
  readonly #filesystem: Filesystem;
  readonly #source: LabelsSource;
  readonly #file: Deno.FsFile | undefined;
  #isCutOff = false;

  /** Throws Deno's file errors. */
  constructor(filesystem: Filesystem, source: LabelsSource) {
    this.#filesystem = filesystem;
    this.#source = source;
    this.#file = "path" in source ? Deno.openSync(source.path, { read: true }) : undefined;
    filesystem.writeFile(this.path, new Uint8Array());
    const { node } = filesystem.lookupPath(this.path, {});
    Object.defineProperty(node, "usedBytes", { get: () => source.size });
    const read = (
      _stream: unknown,
      memory: Int8Array,
      at: number,
      length: number,
      position: number,
    ): number => this.#read(new Uint8Array(memory.buffer, memory.byteOffset + at, length), position);
    Object.assign(node, { stream_ops: { ...Reflect.get(node, "stream_ops"), read } });
  }

  /** Whether bytes were asked for that are not in the part that is there. */
  get isCutOff(): boolean {
    return this.#isCutOff;
  }

  [Symbol.dispose](): void {
    this.#file?.close();
    this.#filesystem.unlink(this.path);
  }

  /** How many bytes were read; 0 at the end. */
  #read(into: Uint8Array, position: number): number {
    const source = this.#source;
    const part = into.subarray(0, Math.max(0, source.size - position));
    if (part.length === 0) return 0;
    if ("head" in source) {
      const found = source.head.subarray(position, position + part.length);
      part.set(found);
      if (found.length < part.length) this.#isCutOff = true;
      return found.length;
    }
    this.#file!.seekSync(source.offset + position, Deno.SeekMode.Start);
    return this.#file!.readSync(part) ?? 0;
  }
}
