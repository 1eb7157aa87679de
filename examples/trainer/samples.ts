/** What the network learns from. */
import type { LabelledFrame } from "./labels.ts";
import { type PreparedFrame, prepareFrame } from "./patches.ts";
import { below, type RandomSource } from "./random.ts";

// Beyond this many standard deviations the target is as good as 0.
const REACH = 3;
// Background samples per sample close to a label.
const BACKGROUND_SHARE = 2;

/** The frames and positions the network learns from; `targets` holds one value per sample and node. */
export interface Samples {
  frames: PreparedFrame[];
  frameOf: Uint32Array;
  x: Uint32Array;
  y: Uint32Array;
  targets: Float32Array;
}

/** All pixels within 3 sigma of a label (`sigma` in px), and twice as many others from anywhere. */
export function drawSamples(
  frames: LabelledFrame[],
  nodeCount: number,
  sigma: number,
  random: RandomSource,
): Samples {
  const places: { frame: number; x: number; y: number }[] = [];
  frames.forEach((frame, index) => {
    const close = placesCloseToLabels(frame, sigma);
    for (const { x, y } of close) places.push({ frame: index, x, y });
    for (let i = 0; i < close.length * BACKGROUND_SHARE; i++) {
      places.push({ frame: index, x: below(random, frame.width), y: below(random, frame.height) });
    }
  });
  const targets = new Float32Array(places.length * nodeCount);
  places.forEach(({ frame, x, y }, i) => {
    setTargets(
      targets.subarray(i * nodeCount, (i + 1) * nodeCount),
      frames[frame]?.points ?? [],
      x,
      y,
      sigma,
    );
  });
  return {
    frames: frames.map(prepareFrame),
    frameOf: Uint32Array.from(places, (place) => place.frame),
    x: Uint32Array.from(places, (place) => place.x),
    y: Uint32Array.from(places, (place) => place.y),
    targets,
  };
}

function placesCloseToLabels(frame: LabelledFrame, sigma: number): { x: number; y: number }[] {
  const radius = sigma * REACH;
  // Wide maps are sampled more thinly: about as many places for every sigma.
  const step = Math.max(1, Math.floor(radius / 7));
  const places: { x: number; y: number }[] = [];
  for (const point of frame.points) {
    for (let y = Math.ceil(point.y - radius); y <= point.y + radius; y += step) {
      for (let x = Math.ceil(point.x - radius); x <= point.x + radius; x += step) {
        const inside = x >= 0 && y >= 0 && x < frame.width && y < frame.height;
        if (inside && Math.hypot(x - point.x, y - point.y) <= radius) places.push({ x, y });
      }
    }
  }
  return places;
}

/** Where several animals have the same node, the closest one counts. */
function setTargets(
  targets: Float32Array,
  points: LabelledFrame["points"],
  x: number,
  y: number,
  sigma: number,
): void {
  for (const point of points) {
    const distance2 = (x - point.x) ** 2 + (y - point.y) ** 2;
    const confidence = Math.exp(-distance2 / (2 * sigma * sigma));
    targets[point.node] = Math.max(targets[point.node] ?? 0, confidence);
  }
}
