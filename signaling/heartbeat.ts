/** When a silent server is asked, and for how long its answer is waited for. */
export interface HeartbeatTimes {
  /** Milliseconds of silence before it is asked. */
  quietMs: number;
  /** Milliseconds within which it answers. */
  answerMs: number;
}

/** A machine that vanishes closes no socket: a minute is cheap for the server, and short beside a job. */
const TIMES: HeartbeatTimes = { quietMs: 60_000, answerMs: 20_000 };

/** What a {@link Heartbeat} does. */
export interface HeartbeatEvents {
  /** Asks for anything; whatever comes is an answer. */
  ask(): void;
  /** No answer came. */
  dead(): void;
}

/** Finds out that the other end of a socket is gone, though the socket looks open. */
export class Heartbeat {
  readonly #times: HeartbeatTimes;
  readonly #events: HeartbeatEvents;
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(times: HeartbeatTimes = TIMES, events: HeartbeatEvents) {
    this.#times = times;
    this.#events = events;
  }

  /** Something came, or the socket is new; begins to watch. */
  heard(): void {
    this.stop();
    this.#timer = setTimeout(() => this.#ask(), this.#times.quietMs);
  }

  /** Watches no more. */
  stop(): void {
    clearTimeout(this.#timer);
  }

  #ask(): void {
    this.#timer = setTimeout(() => this.#events.dead(), this.#times.answerMs);
    this.#events.ask();
  }
}
