import type { Job } from "./queue_job.ts";
import type { QueueSettings } from "./queue_settings.ts";

/** Jobs of a room that suit nobody who is there, and wait because workers may still be on their way back. */
export class Returning {
  readonly #settings: QueueSettings;
  readonly #isFromBefore: boolean;
  readonly #jobs = new Set<Job>();

  constructor(room: string, settings: QueueSettings) {
    this.#settings = settings;
    this.#isFromBefore = settings.returning.rooms.has(room);
  }

  /** Whether somebody may still come back. */
  get isExpected(): boolean {
    return this.#isFromBefore && this.#settings.clock.now() < this.#settings.returning.until;
  }

  /** Nobody suits it yet. */
  wait(job: Job): void {
    this.#jobs.add(job);
  }

  /** Those that wait for nobody any more, each of them once. */
  late(): Job[] {
    if (this.isExpected || this.#jobs.size === 0) return [];
    const late = [...this.#jobs];
    this.#jobs.clear();
    return late;
  }
}
