/** Where the training run stands, of reports and of what it prints, on one line. */
import { printable } from "../protocol/printable.ts";
import { isLoss, parsePrinted, parseReport, type TrainingProgress } from "../protocol/progress.ts";

/** Where a run stands. */
export interface TrainingEvent {
  event: "training";
  run: string;
  /** As the trainer counts; null when it did not say. */
  epoch: number | null;
  epochs: number | null;
  metrics: Readonly<Record<string, number>>;
  /** Whether the figures are those of a whole epoch. */
  epoch_done: boolean;
  /** Read off a line that was shown, so that nobody misses it. */
  printed: boolean;
}

/** Within an epoch it is told at most this often, in milliseconds. */
const EVERY_MS = 1_000;
/** Metrics on the line. */
const MAX_SHOWN = 4;

/** Gathers what is said of one run after the other. */
export class TrainingStatus {
  readonly #show: (event: TrainingEvent) => void;
  #event: TrainingEvent | undefined;
  #shownAt = -Infinity;
  #isShown = true;

  constructor(show: (event: TrainingEvent) => void) {
    this.#show = show;
  }

  /** A run begins. */
  begin(run: string): void {
    const nothing = { epoch: null, epochs: null, metrics: {}, epoch_done: false, printed: false };
    this.#event = { event: "training", run, ...nothing };
    this.#shownAt = -Infinity;
    this.#isShown = true;
  }

  /** The run is over: what was not yet told is told. */
  end(): void {
    if (this.#event && !this.#isShown) this.#show(this.#event);
    this.#event = undefined;
  }

  /** A text of the trainer's reports. */
  report(text: string): void {
    this.#take(parseReport(text), false);
  }

  /** A line of the run's output. */
  print(line: string): void {
    this.#take(parsePrinted(line), true);
  }

  #take(progress: TrainingProgress | undefined, printed: boolean): void {
    const before = this.#event;
    if (!before || !progress) return;
    const { epoch = before.epoch, epochs = before.epochs, metrics, isEpochEnd } = progress;
    const merged = { ...before.metrics, ...metrics };
    this.#event = { ...before, epoch, epochs, metrics: merged, epoch_done: isEpochEnd, printed };
    const now = performance.now();
    this.#isShown = isEpochEnd || epoch !== before.epoch || now - this.#shownAt >= EVERY_MS;
    if (!this.#isShown) return;
    this.#shownAt = now;
    this.#show(this.#event);
  }
}

/** `centroid: epoch 3 of 200, train/loss 0.01234, val/loss 0.02001`. */
export function trainingText({ run, epoch, epochs, metrics }: TrainingEvent): string {
  const names = Object.keys(metrics);
  const losses = names.filter(isLoss);
  const facts = [
    ...(epoch === null ? [] : [`epoch ${epoch}${epochs === null ? "" : ` of ${epochs}`}`]),
    ...(losses.length > 0 ? losses : names).slice(0, MAX_SHOWN).map((name) =>
      `${printable(name)} ${Number(metrics[name]!.toPrecision(4))}`
    ),
  ];
  return `${printable(run)}: ${facts.join(", ")}`;
}
