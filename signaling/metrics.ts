/** What a server counts, for `/metrics`. */
import { Counter, Gauge, Histogram, Registry } from "prom-client";
import type { Rooms } from "./rooms.ts";

const PREFIX = "sleap_rtc_";
/** Of the wait in the queue, in seconds: from at once to a day. */
const WAIT_BUCKETS_S = [0.1, 1, 10, 60, 300, 900, 3600, 4 * 3600, 24 * 3600];
/** Roles that are counted by name; any other text that peers call themselves is `other`. */
const ROLES: ReadonlySet<string> = new Set(["worker", "client", "peer"]);

/**
 * The counts of one server, with the names that Prometheus sees. Labels take few, known values only: what peers say
 * of themselves never becomes one.
 */
export class Metrics {
  readonly #registry = new Registry();
  /** WebSockets at this moment. */
  openConnections = 0;
  /** WebSockets ever. */
  readonly connections = this.#counter("connections_total", "WebSockets opened");
  /** Messages of peers. */
  readonly messages = this.#counter("messages_total", "messages received from peers", ["type"]);
  /** Errors told to peers. */
  readonly errors = this.#counter("errors_total", "errors told to peers", ["code"]);
  /** What exceeded a limit. */
  readonly refusals = this.#counter("refusals_total", "what was refused because of a limit", ["limit"]);
  /** Of `relay` messages that were passed on. */
  readonly relayedBytes = this.#counter("relayed_bytes_total", "data relayed between peers");
  /** How a queued job was led: a few known words. */
  readonly routingDecisions = this.#counter("routing_decisions_total", "how jobs were led to workers", [
    "decision",
  ]);
  /** Seconds from submission until a worker took the job. */
  readonly queueWait = new Histogram({
    name: `${PREFIX}queue_wait_seconds`,
    help: "time from the submission of a job until a worker took it",
    buckets: WAIT_BUCKETS_S,
    registers: [this.#registry],
  });

  constructor(rooms: Rooms) {
    this.gauge("rooms", "rooms that exist", () => rooms.size);
    this.gauge("active_rooms", "rooms with somebody in them", () => rooms.active);
    this.gauge("open_connections", "WebSockets that are open", () => this.openConnections);
    this.gauges("peers", "registered peers", "role", () => byKnownRole(rooms.countByRole()));
    this.#counter("rooms_created_total", "rooms ever created", [], () => rooms.created);
  }

  /** Adds a number that is asked for whenever somebody looks. */
  gauge(name: string, help: string, value: () => number): void {
    new Gauge({
      name: `${PREFIX}${name}`,
      help,
      registers: [this.#registry],
      collect(): void {
        this.set(value());
      },
    });
  }

  /** The same for one number per value of a label, for example jobs by state. */
  gauges(name: string, help: string, label: string, values: () => Record<string, number>): void {
    new Gauge({
      name: `${PREFIX}${name}`,
      help,
      labelNames: [label],
      registers: [this.#registry],
      collect(): void {
        this.reset();
        for (const [value, number] of Object.entries(values())) this.set({ [label]: value }, number);
      },
    });
  }

  /** Everything in Prometheus' text format. */
  text(): Promise<string> {
    return this.#registry.metrics();
  }

  /** The content type of {@link text}. */
  get contentType(): string {
    return this.#registry.contentType;
  }

  #counter<Label extends string = never>(
    name: string,
    help: string,
    labelNames: Label[] = [],
    current?: () => number,
  ): Counter<Label> {
    const collect = current && function (this: Counter<Label>): void {
      this.reset();
      this.inc(current());
    };
    return new Counter({
      name: `${PREFIX}${name}`,
      help,
      labelNames,
      registers: [this.#registry],
      ...(collect && { collect }),
    });
  }
}

/** The sum of a counter over all its labels. */
export async function total(counter: Counter): Promise<number> {
  return (await counter.get()).values.reduce((sum, { value }) => sum + value, 0);
}

function byKnownRole(counts: Record<string, number>): Record<string, number> {
  const known: Record<string, number> = { worker: 0, client: 0, peer: 0, other: 0 };
  for (const [role, count] of Object.entries(counts)) {
    const name = ROLES.has(role) ? role : "other";
    known[name] = (known[name] ?? 0) + count;
  }
  return known;
}
