import type { JobBook } from "./job_book.ts";
import type { Clock } from "./queue_clock.ts";

/** What a queue counts; see {@link QueueSettings}. */
export interface QueueWatch {
  /** A worker took a job so many seconds after its submission. */
  waited(seconds: number): void;
  /** How a job was led. */
  decided(decision: Decision): void;
}

/** What became of a job in one step. */
export type Decision =
  | "offered"
  | "accepted"
  | "declined"
  | "unanswered"
  | "unasked"
  | "waits"
  | "refused"
  | "released";

/** What the rooms of a queue have in common. */
export interface QueueSettings {
  readonly book: JobBook;
  readonly clock: Clock;
  readonly watch: QueueWatch;
  /** Seconds. */
  readonly answerS: number;
  /** Seconds. */
  readonly holdS: number;
  /** A client that is away keeps its places for so long, in milliseconds. */
  readonly graceMs: number;
  /** Rooms from before this start, whose workers may still be on their way back until then. */
  readonly returning: { readonly rooms: ReadonlySet<string>; readonly until: number };
}
