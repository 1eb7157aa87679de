/** Labels files for the tests, as SLEAP lays them out. */
import h5wasm from "h5wasm";

/** What a labels file is to hold. */
export interface LabelsToMake {
  nodes?: string[];
  /** Frames that a person has labelled, and those with predictions. */
  userFrames?: number;
  predictedFrames?: number;
  /** Entries of `videos_json`; a number stands for so many images in the file itself. */
  videos?: (number | Record<string, unknown>)[];
  /** Tables that are left out. */
  without?: string[];
}

const PATH = "/made.slp";

/** The bytes of a labels file. */
export async function makeLabels(
  { nodes = ["A", "B"], userFrames = 1, predictedFrames = 0, videos = [1], without = [] }: LabelsToMake = {},
): Promise<Uint8Array<ArrayBuffer>> {
  const { FS } = await h5wasm.ready;
  const file = new h5wasm.File(PATH, "w");
  const metadata = { version: "2.0.0", nodes: nodes.map((name) => ({ name })), skeletons: [{ nodes: [] }] };
  file.create_group("metadata").create_attribute("json", JSON.stringify(metadata), null, "S");
  const frames = userFrames + predictedFrames;
  const ids = BigUint64Array.from({ length: frames }, (_, index) => BigInt(index));
  const types = Uint8Array.from({ length: frames }, (_, index) => index < userFrames ? 0 : 1);
  const tables: Record<string, Map<string, BigUint64Array | Uint8Array | Float64Array>> = {
    frames: new Map([["frame_id", ids], ["frame_idx", ids]]),
    instances: new Map<string, BigUint64Array | Uint8Array>([["frame_id", ids], ["instance_type", types]]),
    points: new Map([["x", new Float64Array(frames)], ["y", new Float64Array(frames)]]),
  };
  for (const [name, data] of Object.entries(tables)) {
    if (without.includes(name)) continue;
    const dtype = [...data].map(([column, { BYTES_PER_ELEMENT }]): [string, string] => [
      column,
      name === "points" ? "<d" : BYTES_PER_ELEMENT === 1 ? "<B" : "<Q",
    ]);
    file.create_dataset({ name, data, shape: [frames], dtype });
  }
  const entries = videos.map((video, index) => {
    if (typeof video !== "number") return JSON.stringify(video);
    const group = file.create_group(`video${index}`);
    group.create_dataset({ name: "video", data: new Int8Array(video * 4), shape: [video, 4] });
    return JSON.stringify({ backend: { filename: ".", dataset: `video${index}/video` } });
  });
  if (entries.length > 0) {
    const longest = Math.max(...entries.map((text) => new TextEncoder().encode(text).length));
    file.create_dataset({ name: "videos_json", data: entries, dtype: `S${longest + 1}` });
  }
  file.flush();
  file.close();
  const bytes: Uint8Array = FS.readFile(PATH);
  FS.unlink(PATH);
  return new Uint8Array(bytes);
}
