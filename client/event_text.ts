import { sizeText } from "../config/progress.ts";
import { printable, printableOutput } from "../protocol/printable.ts";
import type { ConnectionFacts } from "./connect.ts";
import type { ClientEvent, Summary } from "./event.ts";
import { trainingText } from "./training_status.ts";

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
    case "queued":
      return `queued${event.position === null ? "" : `, place ${event.position}`}: ${event.reason}`;
    case "assigned":
      return event.reason;
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
    case "fetched":
      return fetchedText(event);
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
  return `${summary.ok ? "done" : `failed: ${summary.error}`} (${facts})${resultsText(summary)}`;
}

/** Lines of their own; the path ends its line, as it is to be copied. */
function resultsText(summary: Summary): string {
  const { results, results_storage: stored, results_files: files, results_bytes: bytes } = summary;
  if (results === null) return "";
  const made = files === null || bytes === null ? "" : ` (${filesText(files)}, ${sizeText(bytes)})`;
  return `\nresults${made}: ${results}${stored ? `\non storage ${stored.backend}: ${stored.path}` : ""}`;
}

/** `2 files fetched to /home/alice/models, 1 was there already`. */
export function fetchedText({ into, files, there }: Extract<ClientEvent, { event: "fetched" }>): string {
  const known = there > 0 ? `, ${there} ${there === 1 ? "was" : "were"} there already` : "";
  return `${filesText(files.length)} fetched to ${into}${known}`;
}

function filesText(count: number): string {
  return `${count} ${count === 1 ? "file" : "files"}`;
}
