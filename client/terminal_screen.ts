import { printLogWith } from "../config/log.ts";
import { ProgressMeter, sizeText } from "../config/progress.ts";
import { printable, printableOutput } from "../protocol/printable.ts";
import type { ClientEvent, Screen } from "./event.ts";
import { lineOf } from "./event_text.ts";
import { LineScreen } from "./line_screen.ts";
import { cutToWidth, LiveArea } from "./live_area.ts";
import { LossHistory } from "./loss_chart.ts";
import { canDraw, stderrTerminal, type Terminal, type TerminalSize } from "./terminal.ts";
import { trainingText } from "./training_status.ts";

/** The chart is left out where the log would have less than twice its height. */
const CHART_NEEDS_ROWS = 20;
const BAR_COLUMNS = 24;

interface Movement {
  done: number;
  total: number;
  rate: string;
  meter: ProgressMeter;
}

/**
 * For people: the job's output on stdout, everything else on stderr, line by line. Where stderr is a terminal, what
 * moves is drawn at its bottom.
 */
export function textScreen(): Screen {
  return canDraw() ? new TerminalScreen(stderrTerminal()) : new LineScreen();
}

/** On a terminal: what moves is drawn at the bottom, the log goes by above it. */
export class TerminalScreen implements Screen {
  readonly #area: LiveArea;
  readonly #movements = new Map<string, Movement>();
  readonly #unlisten: () => void;
  #losses = new LossHistory();
  #training = "";
  /** A line that a program writes over again and again. */
  #fleeting = "";
  #question: string | undefined;

  constructor(terminal: Terminal) {
    this.#area = new LiveArea(terminal, (size) => this.#lines(size));
    this.#unlisten = onResize(() => this.#area.flush());
    printLogWith((line) => this.#area.print(line));
  }

  show(event: ClientEvent): void {
    switch (event.event) {
      case "progress":
        return this.#move(event);
      case "training":
        this.#losses.add(event);
        this.#training = trainingText(event);
        return this.#area.refresh();
      case "log":
        return this.#log(event.text);
      case "run_started":
      case "run_ended":
        this.#losses = new LossHistory();
        this.#training = "";
    }
    const line = lineOf(event);
    if (line === undefined) return;
    // What a script takes from a pipe goes there, whatever stderr is.
    if (event.event === "summary" && !Deno.stdout.isTerminal()) return console.log(line);
    for (const each of line.split("\n")) this.#area.print(each);
  }

  ask(question: string | undefined): void {
    this.#question = question;
    this.#area.flush();
  }

  close(): void {
    [this.#training, this.#fleeting, this.#question] = ["", "", undefined];
    this.#movements.clear();
    this.#losses = new LossHistory();
    this.#area.close();
    this.#unlisten();
    printLogWith(undefined);
  }

  #log(text: string): void {
    const line = printableOutput(text);
    const isFleeting = text.startsWith("\r");
    this.#fleeting = isFleeting ? line : "";
    if (isFleeting) return this.#area.refresh();
    if (Deno.stdout.isTerminal()) return this.#area.print(line);
    console.log(line);
    this.#area.refresh();
  }

  #move({ what, done, total }: Extract<ClientEvent, { event: "progress" }>): void {
    const movement = this.#movements.get(what) ?? { done, total, rate: "", meter: new ProgressMeter() };
    this.#movements.set(what, movement);
    Object.assign(movement, { done, total, rate: movement.meter.rate(done, total) });
    if (done < total) return this.#area.refresh();
    this.#movements.delete(what);
    const rate = movement.rate === "" ? "" : ` (${movement.rate})`;
    this.#area.print(`${printable(what)}: ${sizeText(total)}${rate}`);
  }

  #lines({ columns, rows }: TerminalSize): string[] {
    const chart = rows < CHART_NEEDS_ROWS ? [] : this.#losses.chart(columns, !Deno.noColor);
    const bars = [...this.#movements].map(([what, movement]) => barText(what, movement));
    const words = [...bars, this.#training, this.#fleeting].filter((line) => line !== "");
    const question = this.#question === undefined ? [] : [this.#question];
    const lines = [...chart, ...[...words, ...question].map((line) => cutToWidth(line, columns - 1))];
    // What is higher than the terminal could not be drawn over.
    return lines.slice(-Math.max(1, rows - 2));
  }
}

/** `sending pkg.zip ██████░░░░  45%  12.3 MiB/s, 1:05 left`. */
function barText(what: string, { done, total, rate }: Movement): string {
  const part = total === 0 ? 1 : Math.min(1, done / total);
  const full = Math.round(part * BAR_COLUMNS);
  const bar = "█".repeat(full) + "░".repeat(BAR_COLUMNS - full);
  return `${printable(what)} ${bar} ${String(Math.floor(part * 100)).padStart(3)}%  ${rate}`.trimEnd();
}

/** Calls `redraw` when the terminal gets another size; returns what ends that. */
function onResize(redraw: () => void): () => void {
  if (Deno.build.os === "windows") return () => {};
  Deno.addSignalListener("SIGWINCH", redraw);
  return () => Deno.removeSignalListener("SIGWINCH", redraw);
}
