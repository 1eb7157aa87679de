/** The way to and from a trainer that runs: what it reports, and what it is told (PROTOCOL.md section 12.3). */
import { getLogger } from "@logtape/logtape";
import { reasonOf } from "../config/user_error.ts";
import { formatMessage, MAX_LOG_BYTES } from "../protocol/message.ts";
import type { ScriptLine } from "../protocol/package_script.ts";
import { commandFor, type TrainerPorts, wantsPorts } from "./script.ts";
import { Publisher, Subscriber } from "./zmtp.ts";

const logger = getLogger(["sleap-rtc", "worker", "trainer"]);

/** What a trainer that has ended said last is waited for so long, in milliseconds. */
const DRAIN_MS = 1_000;

/** Takes a text for the client. */
type Say = (text: string) => Promise<void>;

/** Two free ports for one run. Close it when that is over. */
export class TrainerLink {
  readonly #reports: Subscriber;
  readonly #control = new Publisher();

  /** `say` takes each report as `PROGRESS_REPORT`. Throws Deno's network errors. */
  constructor(say: Say) {
    this.#reports = new Subscriber(async (text) => {
      const message = formatMessage({ type: "PROGRESS_REPORT", text });
      // Half a report is none.
      if (new TextEncoder().encode(message).length <= MAX_LOG_BYTES) await say(message);
    });
  }

  get ports(): TrainerPorts {
    return { publishPort: this.#reports.port, controllerPort: this.#control.port };
  }

  /** Tells the trainer something, e.g. `{"command": "stop"}`, as soon as it listens; returns whether it does. */
  control(text: string): boolean {
    return this.#control.publish(text) > 0;
  }

  /** After the trainer has ended: what it said is passed on first. */
  async close(): Promise<void> {
    await this.#reports.drained(DRAIN_MS);
    this.#reports.close();
    this.#control.close();
  }
}

/** What is told at each batch: too much for whoever has no window for it. */
const OF_BATCH = /"event":\s*"batch_/;

/** Where a trainer speaks to nobody: the ports of the Python worker. */
const UNHEARD: TrainerPorts = { publishPort: 9001, controllerPort: 9000 };

/** Undefined where the process may not listen: training matters more than its reports. */
function open(say: Say): TrainerLink | undefined {
  try {
    return new TrainerLink(say);
  } catch (error) {
    logger.warn("what the trainer reports is not heard: {reason}", reasonOf(error));
    return undefined;
  }
}

/**
 * Runs a line's command, with ports for the trainer if it wants any; the job is given the way to it. What it reports
 * goes to the client. Throws what `body` throws, Deno's network errors.
 */
export async function withTrainer<T>(
  line: ScriptLine,
  template: readonly string[],
  { say, hasMonitor, holdTrainer }: {
    say: Say;
    hasMonitor: boolean;
    holdTrainer: (tell: ((text: string) => boolean) | undefined) => void;
  },
  body: (command: readonly string[]) => Promise<T>,
): Promise<T> {
  if (line.kind !== "train" || !wantsPorts(template)) return await body(commandFor(line, template));
  const link = open(async (text) => {
    if (hasMonitor || !OF_BATCH.test(text)) await say(text);
  });
  if (!link) return await body(commandFor(line, template, UNHEARD));
  holdTrainer((text) => link.control(text));
  try {
    return await body(commandFor(line, template, link.ports));
  } finally {
    holdTrainer(undefined);
    await link.close();
  }
}
