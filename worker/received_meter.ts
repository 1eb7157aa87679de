import type { Received } from "./reservations.ts";

/** Measures what comes over a client's data channel before its job begins. */
export class ReceivedMeter {
  #bytes = 0;
  /** Milliseconds of `performance.now()`. */
  #first = 0;
  #last = 0;

  /** So many bytes have come. */
  count(bytes: number): void {
    this.#last = performance.now();
    if (this.#bytes === 0) this.#first = this.#last;
    this.#bytes += bytes;
  }

  /** What has come since this was asked last; undefined for nothing. */
  take(): Received | undefined {
    const received = { bytes: this.#bytes, seconds: (this.#last - this.#first) / 1000 };
    this.#bytes = 0;
    return received.bytes === 0 ? undefined : received;
  }
}
