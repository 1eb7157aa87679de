/**
 * Reads what a SLEAP labels file (`*.slp`: HDF5) is about, and of it no more than that takes: its images are not
 * looked at. Runs in a Web Worker that may read this one file, since HDF5 is a large format and the file comes from
 * anywhere.
 */
import h5wasm, { type Dataset, type File as Hdf5File } from "h5wasm";
import { z } from "zod";
import { Hdf5Bytes } from "./hdf5_bytes.ts";
import {
  type LabelsFacts,
  type LabelsReport,
  type LabelsSource,
  type LabelsVideo,
  MAX_IMAGES,
  MAX_VIDEOS,
} from "./labels_facts.ts";

/** Tables that every labels file has (the trainers read them all). */
const TABLES = ["frames", "instances", "points"] as const;
/** More instances are not looked through, in rows … */
const MAX_INSTANCES = 50_000;
/** … nor are longer texts read, in bytes. */
const MAX_TEXT_BYTES = 32 * 2 ** 20;
const MAX_NODES = 10_000;
const MAX_NAME = 4_096;
/** `instance_type` of what a person has labelled. */
const USER_INSTANCE = 0;

const skeletonSchema = z.object({ nodes: z.array(z.object({ name: z.coerce.string() })) });
const names = z.union([z.string(), z.array(z.string())]).optional().catch(undefined);
/** SLEAP names the file below `backend`, sleap-io beside it as well. */
const videoSchema = z.object({
  filename: names,
  backend: z.object({ filename: names, filenames: names, dataset: z.string().optional().catch(undefined) })
    .optional().catch(undefined),
});

/** Loads the HDF5 library. */
export async function loadLibrary(): Promise<Awaited<typeof h5wasm.ready>> {
  const hdf5 = await h5wasm.ready;
  // Otherwise HDF5 prints pages about each failure to stderr.
  hdf5.activate_throwing_error_handler();
  return hdf5;
}

/** What a labels file is about. Throws Deno's file errors. */
export async function readLabelsFile(source: LabelsSource): Promise<LabelsReport> {
  const { FS } = await loadLibrary();
  using bytes = new Hdf5Bytes(FS, source);
  try {
    const file = openFile(bytes.path);
    try {
      return { facts: readFacts(file) };
    } finally {
      file.close();
    }
  } catch (error) {
    if (bytes.isCutOff) return { leftOut: "what is to be checked lies beyond the part that was read" };
    const text = error instanceof LabelsError
      ? error.message
      : `it is damaged, or no HDF5: ${causeOf(error)}`;
    return { fault: text.slice(0, 300) };
  }
}

/** What keeps a file from being labels. */
class LabelsError extends Error {}

function openFile(path: string): Hdf5File {
  const file = new h5wasm.File(path, "r");
  if (file.file_id < 0n) throw new LabelsError("it cannot be opened as HDF5");
  return file;
}

/** Of the library's pages about a failure the innermost cause. */
function causeOf(error: unknown): string {
  const text = error instanceof Error ? error.message : String(error);
  const cause = [...text.matchAll(/^\s*#\d+: .* in \w+\(\): (.*)$/gm)].at(-1)?.[1];
  return cause ?? text.split("\n", 1)[0] ?? "";
}

function readFacts(file: Hdf5File): LabelsFacts {
  const nodes = readNodes(file);
  for (const name of TABLES) table(file, name);
  const videos = readVideos(file);
  return {
    frames: rowsOf(table(file, "frames")),
    userFrames: countUserFrames(table(file, "instances")),
    nodes,
    ...videos,
  };
}

function table(file: Hdf5File, name: string): Dataset {
  const found = file.get(name);
  if (found instanceof h5wasm.Dataset) return found;
  throw new LabelsError(`it is HDF5 but no SLEAP labels: expected a table "${name}", which is not there`);
}

function rowsOf(dataset: Dataset): number {
  return dataset.shape?.[0] ?? 0;
}

function readNodes(file: Hdf5File): string[] {
  const group = file.get("metadata");
  const attribute = group instanceof h5wasm.Group ? group.attrs["json"] : undefined;
  if (!attribute) {
    throw new LabelsError('it is HDF5 but no SLEAP labels: expected "metadata" with an attribute "json"');
  }
  const { size, total_size: count } = attribute.metadata;
  if (size * count > MAX_TEXT_BYTES) throw new LabelsError(`its metadata has ${size * count} bytes`);
  const found = skeletonSchema.safeParse(parse(attribute.value));
  if (!found.success) throw new LabelsError("its metadata is not JSON with the skeleton's nodes");
  return found.data.nodes.slice(0, MAX_NODES).map(({ name }) => name.slice(0, MAX_NAME));
}

/** The value of a JSON text; undefined for what is none. */
function parse(text: unknown): unknown {
  if (typeof text !== "string") return undefined;
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** Frames with an instance that a person made; undefined when there are too many rows to look through. */
function countUserFrames(instances: Dataset): number | undefined {
  if (rowsOf(instances) > MAX_INSTANCES) return undefined;
  const members = instances.metadata.compound_type?.members.map(({ name }) => name) ?? [];
  const [type, frame] = [members.indexOf("instance_type"), members.indexOf("frame_id")];
  if (type < 0 || frame < 0) {
    throw new LabelsError('its table "instances" has not the columns of SLEAP labels');
  }
  const rows: unknown = rowsOf(instances) === 0 ? [] : instances.value;
  if (!Array.isArray(rows)) throw new LabelsError('its table "instances" has no rows');
  const frames = new Set<number>();
  for (const row of rows) {
    if (Array.isArray(row) && Number(row[type]) === USER_INSTANCE) frames.add(Number(row[frame]));
  }
  return frames.size;
}

function readVideos(file: Hdf5File): Pick<LabelsFacts, "videos" | "videoCount"> {
  const list = file.get("videos_json");
  if (!(list instanceof h5wasm.Dataset)) return { videos: [], videoCount: 0 };
  const videoCount = rowsOf(list);
  const count = Math.min(videoCount, MAX_VIDEOS);
  if (count === 0) return { videos: [], videoCount };
  if (list.metadata.size * count > MAX_TEXT_BYTES) throw new LabelsError("its videos have too long names");
  const texts: unknown = list.slice([[0, count]]);
  if (!Array.isArray(texts)) throw new LabelsError('its "videos_json" is no list');
  return { videos: texts.map((text: unknown, index) => videoOf(file, text, index)), videoCount };
}

function videoOf(file: Hdf5File, text: unknown, index: number): LabelsVideo {
  const found = videoSchema.safeParse(parse(text));
  if (!found.success) {
    throw new LabelsError(`video ${index} in its "videos_json" is not JSON as SLEAP writes it`);
  }
  const { filename, backend } = found.data;
  const files = [backend?.filenames || backend?.filename || filename || []].flat();
  if (files[0] === ".") {
    return { embedded: imagesIn(file, backend?.dataset || `video${index}/video`), files: [] };
  }
  // Both kinds of separator are found, and readers take them for one.
  const clean = (name: string): string => name.slice(0, MAX_NAME).replaceAll("\\", "/");
  return { embedded: undefined, files: files.slice(0, MAX_IMAGES).map(clean) };
}

function imagesIn(file: Hdf5File, path: string): number {
  const images = file.get(path);
  return images instanceof h5wasm.Dataset ? rowsOf(images) : 0;
}
