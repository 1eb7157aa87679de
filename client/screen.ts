import { MultiBar, type SingleBar } from "cli-progress";
import { ProgressLines, ProgressMeter, sizeText } from "../config/progress.ts";
import type { ConnectionFacts } from "./connect.ts";
import { printable, printableOutput } from "../protocol/printable.ts";
import { StatusLine } from "./status_line.ts";
import { type TrainingEvent, trainingText } from "./training_status.ts";

/** What a submission reports; people, logs and scripts are shown the same facts. */
export type ClientEvent =
  | { event: "info"; text: string }
  | { event: "warning"; text: string }
  | { event: "worker"; worker: string; backends: readonly string[] | null }
  | { event: "method"; method: string; why: string }
  /** The job goes on from here without this client as well; `attach` comes back to it. */
  | { event: "job"; job_id: string }
  | { event: "progress"; what: string; done: number; total: number }
  | { event: "run_started"; name: string }
  | { event: "run_ended"; name: string; exit_code: number }
  | { event: "log"; text: string }
  | TrainingEvent
  | { event: "summary"; summary: Summary };

/** The end of a submission. Times in seconds, sizes in bytes. */
export interface Summary {
  ok: boolean;
  job_id: string;
  /** `in place`, `copy` or `rtc`. */
  method: string;
  worker: string;
  /** Payload over the data channel, both directions. */
  channel_bytes: number;
  connection: ConnectionFacts;
  /** From the start of the program to the first run; null when none started. */
  time_to_job_start_s: number | null;
  total_s: number;
  /** Absolute folder that holds the results; null when there are none. */
  results: string | null;
  error: string | null;
}

/** Takes events to where they are seen. */
export interface Screen {
  show(event: ClientEvent): void;
  /** Ends what is being drawn. */
  close(): void;
}

/** One JSON object a line on stdout. */
export function jsonScreen(): Screen {
  const lines = new ProgressLines();
  return {
    show(event): void {
      const isDue = event.event !== "progress" ||
        lines.line(event.what, event.done, event.total) !== undefined;
      if (isDue) console.log(JSON.stringify(event));
    },
    close(): void {},
  };
}

/** Plain lines: job output on stdout, everything else on stderr; with progress bars where stderr is a terminal. */
export function textScreen(): Screen {
  return Deno.stderr.isTerminal() ? new TerminalScreen() : new LineScreen();
}

class LineScreen implements Screen {
  readonly #lines = new ProgressLines();

  show(event: ClientEvent): void {
    if (event.event === "progress") {
      const line = this.#lines.line(event.what, event.done, event.total);
      if (line !== undefined) console.error(line);
      return;
    }
    const line = lineOf(event);
    if (line === undefined) return;
    if (event.event === "log" || event.event === "summary") console.log(line);
    else console.error(line);
  }

  close(): void {}
}

class TerminalScreen implements Screen {
  readonly #status = new StatusLine();
  #bars: MultiBar | undefined;
  readonly #byName = new Map<string, { bar: SingleBar; meter: ProgressMeter }>();

  show(event: ClientEvent): void {
    if (event.event === "progress") {
      this.#status.set("");
      return this.#progress(event.what, event.done, event.total);
    }
    const line = event.event === "training" ? trainingText(event) : lineOf(event);
    if (line === undefined) return;
    // A line printed into live bars would be drawn over.
    if (this.#bars?.isActive) return this.#bars.log(`${line}\n`);
    // What a trainer writes over again and again is.
    const isFleeting = event.event === "training" || (event.event === "log" && event.text.startsWith("\r"));
    if (isFleeting) return this.#status.set(line);
    if (event.event === "run_ended") this.#status.set("");
    const print = event.event === "log" || event.event === "summary" ? console.log : console.error;
    this.#status.above(() => print(line));
  }

  #progress(what: string, done: number, total: number): void {
    let entry = this.#byName.get(what);
    if (!entry) {
      this.#bars ??= new MultiBar({ format: "{what} {bar} {percentage}%  {rate}", clearOnComplete: false });
      entry = { bar: this.#bars.create(total, 0, { what, rate: "" }), meter: new ProgressMeter() };
      this.#byName.set(what, entry);
    }
    entry.bar.update(done, { what, rate: entry.meter.rate(done, total) });
    if (done < total) return;
    entry.bar.stop();
    if ([...this.#byName.values()].every(({ bar }) => !bar.isActive)) this.close();
  }

  close(): void {
    this.#status.set("");
    this.#bars?.stop();
    this.#bars = undefined;
    this.#byName.clear();
  }
}

/** What a person reads of an event in a log, without what could drive the terminal; undefined for nothing. */
export function lineOf(event: Exclude<ClientEvent, { event: "progress" }>): string | undefined {
  if (event.event === "log") return printableOutput(event.text);
  return textOf(event)?.split("\n").map((line) => printable(line, Infinity)).join("\n");
}

function textOf(event: Exclude<ClientEvent, { event: "progress" | "log" }>): string | undefined {
  switch (event.event) {
    case "info":
      return event.text;
    case "warning":
      return `warning: ${event.text}`;
    case "worker":
      return `worker ${event.worker}, storage backends: ${
        event.backends === null ? "unknown" : event.backends.join(", ") || "none"
      }`;
    case "method":
      return `method: ${event.method} (${event.why})`;
    case "job":
      return `job ${event.job_id}: it goes on without this client; come back with: sleap-rtc-client attach ${event.job_id}`;
    case "run_started":
      return `run ${event.name} begins`;
    case "run_ended":
      return `run ${event.name} ${
        event.exit_code === 0 ? "is done" : `failed with exit code ${event.exit_code}`
      }`;
    case "training":
      // Each epoch once, unless the trainer has printed it itself.
      return event.epoch_done && !event.printed ? trainingText(event) : undefined;
    case "summary":
      return summaryText(event.summary);
  }
}

/** ` (direct, round trip 12 ms, reconnected once)`; empty when nothing is known. */
function wayText({ route, rtt_ms, reconnects, resent_bytes }: ConnectionFacts): string {
  const ways = { direct: "direct", relay: "through a TURN server", signaling: "over the signaling server" };
  const facts = [
    ...(route === null ? [] : [ways[route]]),
    ...(rtt_ms === null ? [] : [`round trip ${rtt_ms} ms`]),
    ...(reconnects === 0 ? [] : [`reconnected ${reconnects === 1 ? "once" : `${reconnects} times`}`]),
    ...(resent_bytes === 0 ? [] : [`${sizeText(resent_bytes)} sent again`]),
  ];
  return facts.length === 0 ? "" : ` (${facts.join(", ")})`;
}

function summaryText(summary: Summary): string {
  const start = summary.time_to_job_start_s;
  const facts = [
    `method ${summary.method}`,
    `${sizeText(summary.channel_bytes)} over the channel${wayText(summary.connection)}`,
    ...(start === null ? [] : [`job started after ${start.toFixed(1)} s`]),
    `${summary.total_s.toFixed(1)} s in all`,
  ].join(", ");
  const results = summary.results === null ? "" : `\nresults: ${summary.results}`;
  return `${summary.ok ? "done" : `failed: ${summary.error}`} (${facts})${results}`;
}

/** Rows as aligned columns, made printable; the first row is the heading. */
export function table(cells: readonly (readonly string[])[]): string {
  const rows = cells.map((row) => row.map((cell) => printable(cell)));
  const widths = (rows[0] ?? []).map((_, column) =>
    Math.max(...rows.map((row) => (row[column] ?? "").length))
  );
  const line = (row: readonly string[]): string =>
    row.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join("  ").trimEnd();
  const [heading, ...body] = rows;
  return [line(heading ?? []), widths.map((width) => "-".repeat(width)).join("  "), ...body.map(line)].join(
    "\n",
  );
}
