/** A small chart of the losses of a training run, in braille: two dots wide and four high a character. */
import { printable } from "../protocol/printable.ts";
import { isLoss } from "../protocol/progress.ts";
import { cutToWidth } from "./live_area.ts";
import type { TrainingEvent } from "./training_status.ts";

/** Epochs that are remembered of a run; of more, every other one is dropped. */
const MAX_EPOCHS = 4096;
/** The scale is logarithmic when the largest loss is so many times the smallest. */
const DECADES = 100;
/** Rows of dots, below a line of words. */
const ROWS = 6;
const MAX_COLUMNS = 100;
/** A narrower chart tells nothing. */
const MIN_COLUMNS = 16;
/** Dots of a character by row: left, right. */
const DOTS = [[0x01, 0x08], [0x02, 0x10], [0x04, 0x20], [0x40, 0x80]] as const;
const BLANK = 0x2800;
const COLORS = { train: "\x1b[36m", val: "\x1b[33m" } as const;
const PLAIN = "\x1b[0m";

type Role = keyof typeof COLORS;
/** Loss by epoch. */
type Series = Map<number, number>;

/** The losses of one run, epoch by epoch. */
export class LossHistory {
  readonly #series: Record<Role, { name: string; values: Series }> = {
    train: { name: "", values: new Map() },
    val: { name: "", values: new Map() },
  };

  /** Takes what is known of an epoch; later figures of one take the place of earlier ones. */
  add({ epoch, metrics }: TrainingEvent): void {
    if (epoch === null) return;
    const losses = Object.keys(metrics).filter(isLoss);
    const isVal = (name: string): boolean => /val/i.test(name);
    this.#put("train", losses.find((name) => !isVal(name)), epoch, metrics);
    this.#put("val", losses.find(isVal), epoch, metrics);
  }

  #put(role: Role, name: string | undefined, epoch: number, metrics: TrainingEvent["metrics"]): void {
    if (name === undefined) return;
    const series = this.#series[role];
    // Each keeps the loss that came first: of several heads one is as good as another, but they do not mix.
    if (series.name === "") series.name = name;
    const value = metrics[series.name];
    if (value === undefined) return;
    series.values.set(epoch, value);
    if (series.values.size <= MAX_EPOCHS) return;
    for (const [index, key] of [...series.values.keys()].entries()) {
      if (index % 2 === 1) series.values.delete(key);
    }
  }

  /** The chart, for a terminal of so many columns; empty before the second epoch, and where it does not fit. */
  chart(columns: number, color: boolean): string[] {
    const shown = (["train", "val"] as const).filter((role) => this.#series[role].values.size > 0);
    const epochs = shown.flatMap((role) => [...this.#series[role].values.keys()]);
    const [first, last] = [least(epochs), -least(epochs.map((epoch) => -epoch))];
    if (epochs.length === 0 || first === last) return [];
    const scale = makeScale(shown.flatMap((role) => [...this.#series[role].values.values()]));
    const labels = scale.labels;
    const indent = Math.max(...labels.map(({ length }) => length));
    const width = Math.min(columns - indent - 3, MAX_COLUMNS);
    if (width < MIN_COLUMNS) return [];
    const canvas = new Canvas(width);
    for (const role of shown) {
      const levels = levelsOf(this.#series[role].values, first, last, width * 2, scale.level);
      canvas.draw(role, levels, role === "val" && !color);
    }
    const rows = canvas.rows(color).map((row, index) => {
      const label = index === 0 ? labels[1]! : index === ROWS - 1 ? labels[0]! : "";
      return `${label.padStart(indent)} ┤${row}`;
    });
    const words = this.#words(shown, scale.isLog);
    return [cutToWidth(`${" ".repeat(indent)} ${words}`, columns - 1), ...rows];
  }

  /** `─ train/loss, ┄ val/loss, lowest 0.018 in epoch 12; logarithmic`. */
  #words(shown: readonly Role[], isLog: boolean): string {
    const names = shown.map((role) =>
      `${role === "train" ? "─" : "┄"} ${printable(this.#series[role].name)}`
    );
    const values = [...this.#series[shown.at(-1)!].values];
    const [epoch, value] = values.reduce((best, each) => each[1] < best[1] ? each : best);
    return `${names.join("  ")}, lowest ${figure(value)} in epoch ${epoch}${isLog ? "; logarithmic" : ""}`;
  }
}

/** How losses become heights. */
interface Scale {
  isLog: boolean;
  /** Of the smallest and the largest. */
  labels: readonly [string, string];
  /** 0 for the smallest, 1 for the largest. */
  level: (value: number) => number;
}

function makeScale(values: readonly number[]): Scale {
  const [min, max] = [least(values), -least(values.map((value) => -value))];
  const isLog = min > 0 && max / min >= DECADES;
  const at = isLog ? Math.log : (value: number): number => value;
  const range = at(max) - at(min);
  const level = (value: number): number => range === 0 ? 0.5 : (at(value) - at(min)) / range;
  return { isLog, labels: [figure(min), figure(max)], level };
}

/** Heights, 0 to 1, at so many places between two epochs; undefined where a series has not begun or is over. */
function levelsOf(
  series: Series,
  first: number,
  last: number,
  places: number,
  level: (value: number) => number,
): (number | undefined)[] {
  const points = [...series].toSorted(([a], [b]) => a - b);
  let next = 0;
  return Array.from({ length: places }, (_, place) => {
    const epoch = first + (last - first) * place / (places - 1);
    while (next < points.length - 1 && points[next]![0] < epoch) next++;
    const [right, left] = [points[next]!, points[Math.max(0, next - 1)]!];
    if (epoch < points[0]![0] || epoch > right[0]) return undefined;
    const part = right[0] === left[0] ? 1 : (epoch - left[0]) / (right[0] - left[0]);
    return level(left[1]) + (level(right[1]) - level(left[1])) * part;
  });
}

/** Dots, by series. */
class Canvas {
  readonly #width: number;
  readonly #dots: Record<Role, Uint8Array>;

  constructor(width: number) {
    this.#width = width;
    this.#dots = { train: new Uint8Array(width * ROWS), val: new Uint8Array(width * ROWS) };
  }

  /** A line through these heights, two a character; a dotted one is told from the other without colours. */
  draw(role: Role, levels: readonly (number | undefined)[], isDotted: boolean): void {
    const dotRows = ROWS * 4;
    let before: number | undefined;
    for (const [x, level] of levels.entries()) {
      const y = level === undefined ? undefined : Math.round((1 - level) * (dotRows - 1));
      if (y !== undefined && isDotted && x % 3 === 0) this.#set(role, x, y);
      if (y !== undefined && !isDotted) {
        const from = before ?? y;
        const step = Math.sign(y - from);
        for (let each = from; each !== y; each += step) this.#set(role, x, each);
        this.#set(role, x, y);
      }
      before = y;
    }
  }

  #set(role: Role, x: number, y: number): void {
    const index = (y >> 2) * this.#width + (x >> 1);
    this.#dots[role]![index]! |= DOTS[y & 3]![x & 1]!;
  }

  rows(color: boolean): string[] {
    return Array.from({ length: ROWS }, (_, row) => {
      let [text, current] = ["", "" as Role | ""];
      for (let index = row * this.#width; index < (row + 1) * this.#width; index++) {
        const [train, val] = [this.#dots.train[index]!, this.#dots.val[index]!];
        const role = val !== 0 ? "val" : train !== 0 ? "train" : "";
        if (color && role !== current && role !== "") text += COLORS[role];
        if (role !== "") current = role;
        text += train === 0 && val === 0 ? " " : String.fromCharCode(BLANK + (train | val));
      }
      return `${text.trimEnd()}${color && current !== "" ? PLAIN : ""}`;
    });
  }
}

/** Without the limit on arguments that `Math.min` has. */
function least(values: readonly number[]): number {
  return values.reduce((min, value) => Math.min(min, value), Infinity);
}

function figure(value: number): string {
  return String(Number(value.toPrecision(3)));
}
