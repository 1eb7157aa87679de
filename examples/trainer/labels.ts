/** Reads the labelled frames of a SLEAP package file (`*.pkg.slp`: HDF5 with the images embedded). */
import { decode } from "fast-png";
import h5wasm, { type Dataset, type File as Hdf5File } from "h5wasm";
import { z } from "zod";
import { TrainerError } from "./trainer_error.ts";

/** A labelled position in px; (0, 0) is the centre of the top left pixel. `node` counts from 0. */
export interface LabelledPoint {
  node: number;
  x: number;
  y: number;
}

/** One grey image, row by row, 0 black to 1 white, and the points a person set in it. */
export interface LabelledFrame {
  width: number;
  height: number;
  pixels: Float32Array;
  points: LabelledPoint[];
}

/** The content of one labels file. `skipped` counts labelled frames without an image that can be read. */
export interface Labels {
  nodeNames: string[];
  frames: LabelledFrame[];
  skipped: number;
}

type Row = Record<string, number>;

// The whole file is held in memory, twice for a moment.
const MAX_FILE_BYTES = 500_000_000;
// Enough to learn from, few enough to stay a matter of seconds.
const MAX_FRAMES = 16;
const USER_INSTANCE = 0;

const skeletonSchema = z.object({
  nodes: z.array(z.object({ name: z.string() })).min(1),
  skeletons: z.array(z.object({ nodes: z.array(z.object({ id: z.unknown() })) })).min(1),
});
const videoSchema = z.object({ backend: z.object({ dataset: z.string() }) });

/**
 * Reads nodes, points and images, of at most 16 frames. Throws TrainerError when the file is missing, too large,
 * not HDF5, not a labels file, or holds no labelled point on an embedded image.
 */
export async function readLabels(path: string): Promise<Labels> {
  const bytes = await readBytes(path);
  const hdf5 = await h5wasm.ready;
  // Otherwise HDF5 prints pages about each failure to stderr.
  hdf5.activate_throwing_error_handler();
  const scratch = "/labels.slp";
  hdf5.FS.writeFile(scratch, bytes);
  try {
    return readFile(openFile(scratch, path), path);
  } finally {
    hdf5.FS.unlink(scratch);
  }
}

async function readBytes(path: string): Promise<Uint8Array> {
  try {
    const { size } = await Deno.stat(path);
    if (size > MAX_FILE_BYTES) {
      throw new TrainerError(`labels file too large for this trainer: ${path} (${size} bytes)`);
    }
    return await Deno.readFile(path);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) throw new TrainerError(`labels file not found: ${path}`);
    throw error;
  }
}

function openFile(scratch: string, path: string): Hdf5File {
  try {
    const file = new h5wasm.File(scratch, "r");
    if (file.file_id >= 0n) return file;
  } catch {
    // Said below: the library's own text does not name the file.
  }
  throw new TrainerError(`labels file is not a readable HDF5 file: ${path}`);
}

function readFile(file: Hdf5File, path: string): Labels {
  try {
    const nodeNames = readNodeNames(file);
    const { frames, skipped } = readFrames(file, nodeNames.length);
    if (frames.length === 0) {
      const hint = skipped > 0 ? ` (${skipped} labelled frames without a readable embedded image)` : "";
      throw new TrainerError(`no labelled points to learn from in ${path}${hint}`);
    }
    return { nodeNames, frames, skipped };
  } catch (error) {
    if (error instanceof TrainerError) throw error;
    throw new TrainerError(`not a SLEAP labels file: ${path} (${firstLine(error)})`);
  } finally {
    file.close();
  }
}

function firstLine(error: unknown): string {
  if (error instanceof z.ZodError) return `unexpected metadata at ${error.issues[0]?.path.join(".") ?? ""}`;
  return error instanceof Error ? error.message.split("\n", 1)[0] ?? "" : String(error);
}

function readNodeNames(file: Hdf5File): string[] {
  const { nodes, skeletons } = skeletonSchema.parse(readJson(metadataAttribute(file, "json")));
  // The skeleton gives the order of the points; its ids count into the list of all nodes.
  const names = (skeletons[0]?.nodes ?? []).map(({ id }) => nodes[Number(id)]?.name);
  const known = names.filter((each) => each !== undefined);
  return known.length === names.length && known.length > 0 ? known : nodes.map((node) => node.name);
}

function metadataAttribute(file: Hdf5File, key: string): unknown {
  const group = file.get("metadata");
  return group instanceof h5wasm.Group ? group.attrs[key]?.value : undefined;
}

function readJson(value: unknown): unknown {
  if (typeof value !== "string") throw new Error("metadata is missing");
  const parsed: unknown = JSON.parse(value);
  return parsed;
}

function readFrames(file: Hdf5File, nodeCount: number): { frames: LabelledFrame[]; skipped: number } {
  const tables = { instances: readRows(file, "instances"), points: readRows(file, "points") };
  // Older files count from the corner of the top left pixel.
  const shift = Number(metadataAttribute(file, "format_id") ?? 1.2) < 1.1 ? -0.5 : 0;
  const frames: LabelledFrame[] = [];
  let skipped = 0;
  for (const row of readRows(file, "frames")) {
    if (frames.length === MAX_FRAMES) break;
    const points = pointsOfFrame(row, tables, nodeCount, shift);
    if (points.length === 0) continue;
    const image = readImage(file, field(row, "video"), field(row, "frame_idx"));
    const inside = image === undefined ? [] : points.filter((point) => isInside(point, image));
    if (image === undefined) skipped++;
    else if (inside.length > 0) frames.push({ ...image, points: inside });
  }
  return { frames, skipped };
}

function pointsOfFrame(
  frame: Row,
  tables: { instances: Row[]; points: Row[] },
  nodeCount: number,
  shift: number,
): LabelledPoint[] {
  return tables.instances
    .slice(field(frame, "instance_id_start"), field(frame, "instance_id_end"))
    .filter((instance) => field(instance, "instance_type") === USER_INSTANCE)
    .flatMap((instance) =>
      tables.points
        .slice(field(instance, "point_id_start"), field(instance, "point_id_end"))
        .slice(0, nodeCount)
        .map((row, node) => ({ node, row }))
        .filter(({ row }) => isSet(row))
        .map(({ node, row }) => ({ node, x: field(row, "x") + shift, y: field(row, "y") + shift }))
    );
}

function isSet(point: Row): boolean {
  return field(point, "visible") !== 0 && Number.isFinite(field(point, "x")) &&
    Number.isFinite(field(point, "y"));
}

function isInside(point: LabelledPoint, image: { width: number; height: number }): boolean {
  return point.x >= 0 && point.y >= 0 && point.x <= image.width - 1 && point.y <= image.height - 1;
}

function readImage(
  file: Hdf5File,
  video: number,
  frameIndex: number,
): Omit<LabelledFrame, "points"> | undefined {
  const path = videoDataset(file, video);
  const images = file.get(path);
  if (!isDataset(images) || images.attrs["format"]?.value !== "png") return undefined;
  const bytes = imageBytes(images, imagePosition(file, path, frameIndex));
  return bytes === undefined ? undefined : toGrey(bytes);
}

function videoDataset(file: Hdf5File, video: number): string {
  const list = file.get("videos_json");
  const text: unknown = isDataset(list) && Array.isArray(list.value) ? list.value[video] : undefined;
  const parsed = typeof text === "string" ? videoSchema.safeParse(JSON.parse(text)) : undefined;
  return parsed?.success && parsed.data.backend.dataset !== ""
    ? parsed.data.backend.dataset
    : `video${video}/video`;
}

/** Embedded videos hold only some frames of the original; `frame_numbers` says which. */
function imagePosition(file: Hdf5File, path: string, frameIndex: number): number {
  const numbers = file.get(path.replace(/[^/]*$/, "frame_numbers"));
  if (!isDataset(numbers)) return frameIndex;
  const value: unknown = numbers.json_value;
  return Array.isArray(value) ? value.indexOf(frameIndex) : -1;
}

function imageBytes(images: Dataset, position: number): Uint8Array | undefined {
  const [count = 0, ...rest] = images.shape ?? [];
  if (position < 0 || position >= count) return undefined;
  // Either one array per image, of its own length, or one row of a table, filled up with zeros.
  const value: unknown = images.slice([[position, position + 1], ...rest.map((): [] => [])]);
  const bytes: unknown = Array.isArray(value) ? value[0] : value;
  if (!(bytes instanceof Int8Array || bytes instanceof Uint8Array)) return undefined;
  return new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

function toGrey(bytes: Uint8Array): Omit<LabelledFrame, "points"> | undefined {
  const png = decodePng(bytes);
  if (png === undefined || png.palette !== undefined || png.depth < 8) return undefined;
  const { width, height, channels, data } = png;
  // The last of two or four channels is transparency.
  const colours = channels % 2 === 0 ? channels - 1 : channels;
  const full = (2 ** png.depth - 1) * colours;
  const pixels = new Float32Array(width * height);
  for (let i = 0; i < pixels.length; i++) {
    let sum = 0;
    for (let c = 0; c < colours; c++) sum += data[i * channels + c] ?? 0;
    pixels[i] = sum / full;
  }
  return { width, height, pixels };
}

function decodePng(bytes: Uint8Array): ReturnType<typeof decode> | undefined {
  try {
    return decode(bytes);
  } catch {
    return undefined;
  }
}

/** A table of records; whole numbers beyond 2^53 do not occur in labels. */
function readRows(file: Hdf5File, path: string): Row[] {
  const table = file.get(path);
  if (!isDataset(table)) throw new Error(`no table '${path}'`);
  const names = fieldNames(table.dtype);
  const value: unknown = table.value;
  if (!Array.isArray(value)) throw new Error(`'${path}' is no table of records`);
  return value.map((record: unknown) => {
    const cells: unknown[] = Array.isArray(record) ? record : [];
    return Object.fromEntries(names.map((each, i) => [each, Number(cells[i])]));
  });
}

function fieldNames(dtype: unknown): string[] {
  return z.array(z.tuple([z.string()], z.unknown())).parse(dtype).map(([each]) => each);
}

function field(row: Row, key: string): number {
  const value = row[key];
  if (value === undefined) throw new Error(`no column '${key}'`);
  return value;
}

function isDataset(entity: unknown): entity is Dataset {
  return entity instanceof h5wasm.Dataset;
}
