/** What trainers say of how far they are: reports as sleap-nn publishes them, and the lines that trainers print. */
import { z } from "zod";
import { printableOutput } from "./printable.ts";

/** How far a training run is. */
export interface TrainingProgress {
  /** As the trainer counts, from 0 or from 1; undefined when it does not say. */
  epoch?: number;
  /** How many there are at most; undefined when it does not say. */
  epochs?: number;
  /** Losses and other figures by the trainer's names for them; finite. */
  metrics: Readonly<Record<string, number>>;
  /** Whether the epoch is over, so that the figures are those of the whole of it. */
  isEpochEnd: boolean;
}

/** Metrics that are kept of one message, and the longest name. */
const MAX_METRICS = 32;
const MAX_NAME = 64;
/** Of a line only so much is looked at, in characters. */
const MAX_LINE = 2_000;
/** Numbers in a message that tell where a run is, not how well it does. */
const NO_METRICS = new Set(["epoch", "epochs", "batch", "step", "v_num", "time", "eta"]);

const count = z.int().min(0).max(1e9).optional().catch(undefined);
const fields = z.record(z.string(), z.unknown());
/** `{"what", "event", "epoch", "batch", "logs": {name: value}}`; lines of JSON may have the values beside `epoch`. */
const report = z.looseObject({
  event: z.string().optional().catch(undefined),
  epoch: count,
  epochs: count,
  logs: fields.optional().catch(undefined),
});

/** The progress in a report, which is JSON; undefined for one that tells none. Never throws. */
export function parseReport(text: string): TrainingProgress | undefined {
  const { data } = report.safeParse(parseJson(text));
  if (!data || (data.event === undefined && data.epoch === undefined)) return undefined;
  const { event, epoch, epochs, logs = data } = data;
  const metrics = keepMetrics(Object.entries(logs));
  if (epoch === undefined && Object.keys(metrics).length === 0) return undefined;
  return progress(epoch, epochs, metrics, event === "epoch_end" || event === undefined);
}

/** Python writes `NaN` and `Infinity`, which JSON does not know. */
function parseJson(text: string): unknown {
  try {
    return JSON.parse(text.replace(/-?\b(?:NaN|Infinity)\b/g, "null"));
  } catch {
    return undefined;
  }
}

/** `Epoch 3`, `Epoch 3/200`, `Epoch: 3`; at the beginning, or behind what a logger puts there. */
const EPOCH = /\bepoch:?\s{1,3}(\d{1,9})(?:\s?\/\s?(\d{1,9}))?(?![\w.])/i;
/** `train_loss=0.0123`, `val/loss: 1.2e-3`; no times of day and nothing with a unit. */
const METRIC =
  /([A-Za-z][\w./@-]{0,63})\s?[=:]\s?(-?\d{1,20}(?:\.\d{1,20})?(?:e[-+]?\d{1,3})?)(?![\w:%]|\.\d)/gi;

/**
 * The progress in a line of output, of PyTorch Lightning's bars, Keras, or JSON; undefined for one that tells none.
 * Never throws.
 */
export function parsePrinted(line: string): TrainingProgress | undefined {
  const text = printableOutput(line.slice(0, MAX_LINE)).trim();
  if (text.startsWith("{")) return parseReport(text);
  const found = EPOCH.exec(text.slice(0, 200));
  const pairs = text.matchAll(METRIC).map(([, name, value]) => [name!, Number(value)] as const);
  const metrics = keepMetrics(pairs);
  // Without an epoch anything could be meant, but not by a loss.
  if (!found && !Object.keys(metrics).some(isLoss)) return undefined;
  const [epoch, epochs] = [found?.[1], found?.[2]].map((digits) =>
    digits === undefined ? undefined : Number(digits)
  );
  return progress(epoch, epochs, metrics, false);
}

/** Whether a metric is one that training brings down. */
export function isLoss(name: string): boolean {
  return /loss/i.test(name);
}

function keepMetrics(pairs: Iterable<readonly [string, unknown]>): Record<string, number> {
  const kept = new Map<string, number>();
  for (const [name, value] of pairs) {
    if (kept.size >= MAX_METRICS) break;
    if (typeof value !== "number" || !Number.isFinite(value)) continue;
    if (name.length <= MAX_NAME && !NO_METRICS.has(name.toLowerCase())) kept.set(name, value);
  }
  return Object.fromEntries(kept);
}

function progress(
  epoch: number | undefined,
  epochs: number | undefined,
  metrics: Record<string, number>,
  isEpochEnd: boolean,
): TrainingProgress {
  return {
    ...(epoch === undefined ? {} : { epoch }),
    ...(epochs === undefined ? {} : { epochs }),
    metrics,
    isEpochEnd,
  };
}
