/** What the network sees: the surroundings of a pixel, in a scaled frame with a border. */
import type { LabelledFrame } from "./labels.ts";

/** Pixels per side of the patch that the network sees. */
export const PATCH_SIZE = 13;
/** Distance between neighbouring pixels of the patch, in px. */
export const PATCH_STEP = 2;
/** Pixels of one patch. */
export const INPUTS = PATCH_SIZE * PATCH_SIZE;
/** Width of the border around a prepared frame, in px. */
export const MARGIN = ((PATCH_SIZE - 1) / 2) * PATCH_STEP;

/** A frame scaled to mean 0 and deviation 1, with a border so that every pixel has a full patch. */
export interface PreparedFrame {
  width: number;
  height: number;
  stride: number;
  pixels: Float32Array;
  /** Distance of each patch pixel from the pixel in the middle, in elements of `pixels`. */
  offsets: Int32Array;
}

/** Scales a frame and repeats its edge pixels outwards. */
export function prepareFrame(frame: LabelledFrame): PreparedFrame {
  const { width, height } = frame;
  const stride = width + 2 * MARGIN;
  const pixels = new Float32Array(stride * (height + 2 * MARGIN));
  const { mean, deviation } = statistics(frame.pixels);
  for (let i = 0; i < pixels.length; i++) {
    const x = Math.min(Math.max((i % stride) - MARGIN, 0), width - 1);
    const y = Math.min(Math.max(Math.floor(i / stride) - MARGIN, 0), height - 1);
    pixels[i] = ((frame.pixels[y * width + x] ?? 0) - mean) / deviation;
  }
  return { width, height, stride, pixels, offsets: patchOffsets(stride) };
}

function statistics(pixels: Float32Array): { mean: number; deviation: number } {
  let sum = 0;
  let squares = 0;
  for (const value of pixels) {
    sum += value;
    squares += value * value;
  }
  const mean = sum / pixels.length;
  // An image of one colour has no deviation; then there is nothing to scale either.
  return { mean, deviation: Math.sqrt(Math.max(squares / pixels.length - mean * mean, 0)) || 1 };
}

function patchOffsets(stride: number): Int32Array {
  const middle = (PATCH_SIZE - 1) / 2;
  return Int32Array.from({ length: INPUTS }, (_, i) => {
    const row = Math.floor(i / PATCH_SIZE) - middle;
    const column = (i % PATCH_SIZE) - middle;
    return (row * stride + column) * PATCH_STEP;
  });
}
