/**
 * The model: a two-layer network that looks at the surroundings of a pixel and says, for every
 * node, how likely the node is there. Applied to all pixels it gives one confidence map per node.
 */
import type { LabelledFrame } from "./labels.ts";
import { INPUTS, MARGIN, type PreparedFrame } from "./patches.ts";
import { type RandomSource, randomSource, shuffle, uniform } from "./random.ts";
import { drawSamples, type Samples } from "./samples.ts";

/** Width of the hidden layer. */
export const HIDDEN = 16;

const BATCH = 16;

/** All weights in one array: hidden [16][169], hidden bias [16], output [nodes][16], output bias [nodes]. */
export interface Model {
  nodeCount: number;
  weights: Float32Array;
}

/** Reused arrays for one pass through the network. */
export interface Activations {
  inputs: Float32Array;
  hidden: Float32Array;
  outputs: Float32Array;
}

/** Where a fit stands after one epoch: `epoch` counts from 1, `loss` is the mean squared error of the maps. */
export interface Epoch {
  epoch: number;
  loss: number;
  model: Model;
}

/** What a fit goes by; `sigma` in px. */
export interface FitOptions {
  sigma: number;
  learningRate: number;
  seed: number;
  maxEpochs: number;
}

/**
 * Fits a model to the frames, one epoch per step of the iteration. The same frames and options give
 * the same numbers. The yielded model goes on changing: copy what is to be kept.
 */
export function* fit(
  frames: LabelledFrame[],
  nodeCount: number,
  options: FitOptions,
): Generator<Epoch, void> {
  const random = randomSource(options.seed);
  const samples = drawSamples(frames, nodeCount, options.sigma, random);
  const model = createModel(nodeCount, random);
  const optimizer = createAdam(model.weights.length, options.learningRate);
  const order = Uint32Array.from(samples.x, (_, i) => i);
  for (let epoch = 1; epoch <= options.maxEpochs; epoch++) {
    shuffle(random, order);
    yield { epoch, loss: trainEpoch(model, samples, order, optimizer), model };
  }
}

/** Arrays for `predict`. */
export function createActivations(nodeCount: number): Activations {
  return {
    inputs: new Float32Array(INPUTS),
    hidden: new Float32Array(HIDDEN),
    outputs: new Float32Array(nodeCount),
  };
}

/** Confidence of every node at a pixel of the frame, into `activations.outputs`. */
export function predict(
  model: Model,
  frame: PreparedFrame,
  x: number,
  y: number,
  activations: Activations,
): void {
  const { inputs, hidden, outputs } = activations;
  const { weights, nodeCount } = model;
  const centre = (y + MARGIN) * frame.stride + x + MARGIN;
  for (let i = 0; i < INPUTS; i++) inputs[i] = frame.pixels[centre + (frame.offsets[i] ?? 0)] ?? 0;
  const hiddenBias = HIDDEN * INPUTS;
  for (let h = 0; h < HIDDEN; h++) {
    let sum = weights[hiddenBias + h] ?? 0;
    const row = h * INPUTS;
    for (let i = 0; i < INPUTS; i++) sum += (weights[row + i] ?? 0) * (inputs[i] ?? 0);
    hidden[h] = sum > 0 ? sum : 0;
  }
  const output = hiddenBias + HIDDEN;
  for (let n = 0; n < nodeCount; n++) {
    let sum = weights[output + nodeCount * HIDDEN + n] ?? 0;
    for (let h = 0; h < HIDDEN; h++) sum += (weights[output + n * HIDDEN + h] ?? 0) * (hidden[h] ?? 0);
    outputs[n] = sum;
  }
}

function createModel(nodeCount: number, random: RandomSource): Model {
  const weights = new Float32Array(HIDDEN * INPUTS + HIDDEN + nodeCount * HIDDEN + nodeCount);
  const output = HIDDEN * INPUTS + HIDDEN;
  for (let i = 0; i < HIDDEN * INPUTS; i++) weights[i] = spread(random, Math.sqrt(6 / INPUTS));
  for (let i = 0; i < nodeCount * HIDDEN; i++) {
    weights[output + i] = spread(random, Math.sqrt(1 / HIDDEN) / 4);
  }
  return { nodeCount, weights };
}

function spread(random: RandomSource, limit: number): number {
  return (2 * uniform(random) - 1) * limit;
}

/** The Adam rule (Kingma and Ba, 2015) with its usual constants. */
interface Adam {
  gradient: Float32Array;
  learningRate: number;
  mean: Float32Array;
  square: Float32Array;
  steps: number;
}

function createAdam(length: number, learningRate: number): Adam {
  return {
    gradient: new Float32Array(length),
    learningRate,
    mean: new Float32Array(length),
    square: new Float32Array(length),
    steps: 0,
  };
}

function applyStep(weights: Float32Array, adam: Adam): void {
  adam.steps++;
  const { gradient, mean, square } = adam;
  const rate = adam.learningRate * Math.sqrt(1 - 0.999 ** adam.steps) / (1 - 0.9 ** adam.steps);
  for (let i = 0; i < weights.length; i++) {
    const g = gradient[i] ?? 0;
    const m = 0.9 * (mean[i] ?? 0) + 0.1 * g;
    const s = 0.999 * (square[i] ?? 0) + 0.001 * g * g;
    mean[i] = m;
    square[i] = s;
    weights[i] = (weights[i] ?? 0) - rate * m / (Math.sqrt(s) + 1e-8);
  }
  gradient.fill(0);
}

function trainEpoch(model: Model, samples: Samples, order: Uint32Array, adam: Adam): number {
  const activations = createActivations(model.nodeCount);
  let loss = 0;
  for (let start = 0; start < order.length; start += BATCH) {
    const batch = order.subarray(start, start + BATCH);
    for (const sample of batch) {
      loss += addGradient(model, samples, sample, activations, adam.gradient, batch.length);
    }
    applyStep(model.weights, adam);
  }
  return loss / (order.length * model.nodeCount);
}

/** Adds the gradient of one sample's squared error, divided by the batch's size; returns the squared error. */
function addGradient(
  model: Model,
  samples: Samples,
  sample: number,
  activations: Activations,
  gradient: Float32Array,
  batchSize: number,
): number {
  const frame = samples.frames[samples.frameOf[sample] ?? 0];
  if (frame === undefined) return 0;
  const { nodeCount, weights } = model;
  const { inputs, hidden, outputs } = activations;
  predict(model, frame, samples.x[sample] ?? 0, samples.y[sample] ?? 0, activations);
  let loss = 0;
  for (let n = 0; n < nodeCount; n++) {
    const error = (outputs[n] ?? 0) - (samples.targets[sample * nodeCount + n] ?? 0);
    loss += error * error;
    // From here on `outputs` holds the slope of the loss.
    outputs[n] = 2 * error / (nodeCount * batchSize);
  }
  const output = HIDDEN * INPUTS + HIDDEN;
  for (let n = 0; n < nodeCount; n++) add(gradient, output + nodeCount * HIDDEN + n, outputs[n] ?? 0);
  for (let h = 0; h < HIDDEN; h++) {
    // A unit that is switched off neither gets nor passes on a slope.
    if ((hidden[h] ?? 0) === 0) continue;
    let slope = 0;
    for (let n = 0; n < nodeCount; n++) {
      const at = output + n * HIDDEN + h;
      slope += (outputs[n] ?? 0) * (weights[at] ?? 0);
      add(gradient, at, (outputs[n] ?? 0) * (hidden[h] ?? 0));
    }
    add(gradient, HIDDEN * INPUTS + h, slope);
    for (let i = 0; i < INPUTS; i++) add(gradient, h * INPUTS + i, slope * (inputs[i] ?? 0));
  }
  return loss;
}

function add(array: Float32Array, index: number, value: number): void {
  array[index] = (array[index] ?? 0) + value;
}
