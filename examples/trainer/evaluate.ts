/** How far the peaks of the confidence maps are from the labels. */
import type { LabelledFrame, LabelledPoint } from "./labels.ts";
import { type Activations, createActivations, type Model, predict } from "./model.ts";
import { type PreparedFrame, prepareFrame } from "./patches.ts";

/** Mean distance in px between a node's labels and the nearest predicted peak; undefined without labels. */
export type NodeErrors = (number | undefined)[];

/** `sigma` and `outputStride` in px. */
export interface EvaluateOptions {
  sigma: number;
  outputStride: number;
}

interface Peak {
  x: number;
  y: number;
  confidence: number;
}

/**
 * One error per node over all frames. In each frame a node gets as many peaks as it has labels, the highest first
 * and none within 3 sigma of another, so a missed animal shows as a large error.
 */
export function evaluate(
  model: Model,
  frames: LabelledFrame[],
  options: EvaluateOptions,
): NodeErrors {
  const distances: number[][] = Array.from({ length: model.nodeCount }, () => []);
  const activations = createActivations(model.nodeCount);
  for (const frame of frames) {
    const prepared = prepareFrame(frame);
    const maps = confidenceMaps(model, prepared, options.outputStride, activations);
    distances.forEach((list, node) => {
      const labels = frame.points.filter((point) => point.node === node);
      const peaks = findPeaks(maps[node] ?? [], labels.length, 3 * options.sigma)
        .map((peak) => refine(model, prepared, node, peak, options.outputStride, activations));
      list.push(...labels.map((label) => nearest(label, peaks)));
    });
  }
  return distances.map((list) =>
    list.length === 0 ? undefined : list.reduce((sum, d) => sum + d) / list.length
  );
}

function confidenceMaps(
  model: Model,
  frame: PreparedFrame,
  stride: number,
  activations: Activations,
): Peak[][] {
  const maps: Peak[][] = Array.from({ length: model.nodeCount }, () => []);
  for (let y = 0; y < frame.height; y += stride) {
    for (let x = 0; x < frame.width; x += stride) {
      predict(model, frame, x, y, activations);
      maps.forEach((map, node) => map.push({ x, y, confidence: activations.outputs[node] ?? 0 }));
    }
  }
  return maps;
}

function findPeaks(map: Peak[], count: number, distance: number): Peak[] {
  const peaks: Peak[] = [];
  while (peaks.length < count) {
    let best: Peak | undefined;
    for (const place of map) {
      const higher = best === undefined || place.confidence > best.confidence;
      if (higher && peaks.every((peak) => Math.hypot(peak.x - place.x, peak.y - place.y) > distance)) {
        best = place;
      }
    }
    if (best === undefined) break;
    peaks.push(best);
  }
  return peaks;
}

/** The map is coarse: looks at every pixel around its peak. */
function refine(
  model: Model,
  frame: PreparedFrame,
  node: number,
  peak: Peak,
  reach: number,
  activations: Activations,
): Peak {
  let best = peak;
  for (let y = Math.max(0, peak.y - reach); y <= Math.min(frame.height - 1, peak.y + reach); y++) {
    for (let x = Math.max(0, peak.x - reach); x <= Math.min(frame.width - 1, peak.x + reach); x++) {
      predict(model, frame, x, y, activations);
      const confidence = activations.outputs[node] ?? 0;
      if (confidence > best.confidence) best = { x, y, confidence };
    }
  }
  return best;
}

function nearest(label: LabelledPoint, peaks: Peak[]): number {
  return Math.min(...peaks.map((peak) => Math.hypot(peak.x - label.x, peak.y - label.y)));
}
