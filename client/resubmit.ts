import { errorText } from "../config/user_error.ts";
import { parseSession } from "../protocol/session_string.ts";
import { ConnectionError } from "../rtc/transfer_error.ts";
import { SignalingError } from "../signaling/signaling_error.ts";
import { pause } from "../signaling/presence.ts";
import { NoWorkerError } from "./choose_worker.ts";
import { WorkerLostError } from "./job_error.ts";
import type { ChoiceFlags, RoomFlags } from "./room.ts";
import type { Screen } from "./screen.ts";

/** A worker that is lost before the job began is looked for again for so long, in milliseconds … */
const LOST_LIMIT_MS = 300_000;
/** … with pauses of 1, 2, 4 … at most 30 s … */
const FIRST_PAUSE_MS = 1_000;
const LAST_PAUSE_MS = 30_000;
/** … and no more when it was lost so often. */
const MAX_LOSSES = 50;

type Flags = RoomFlags & ChoiceFlags;

/**
 * Submits again when the worker is lost before the job began: to the same worker, or another of its room. A worker that
 * was started anew in the same place still has what was sent. Throws what `submit` throws.
 */
export async function untilBegun<Result>(
  submit: (flags: Flags) => Promise<Result>,
  flags: Flags,
  screen: Screen,
  signal: AbortSignal,
): Promise<Result> {
  let [losses, lostAt, pauseMs] = [0, 0, FIRST_PAUSE_MS];
  for (;;) {
    try {
      return await submit(losses === 0 ? flags : anyWorker(flags));
    } catch (error) {
      signal.throwIfAborted();
      const isLost = error instanceof WorkerLostError && !error.started;
      // At first, a worker that is not there is a mistake of the command line.
      if (!isLost && (losses === 0 || !isAbsence(error))) throw error;
      if (isLost) [losses, lostAt, pauseMs] = [losses + 1, performance.now(), FIRST_PAUSE_MS];
      if (losses > MAX_LOSSES || performance.now() - lostAt > LOST_LIMIT_MS) throw error;
      const text = `${errorText(error)}; looking for a worker again in ${pauseMs / 1000} s`;
      screen.show({ event: "warning", text });
      await pause(pauseMs, signal);
      signal.throwIfAborted();
      pauseMs = Math.min(2 * pauseMs, LAST_PAUSE_MS);
    }
  }
}

/** Whether nobody is there: no worker that can be reached, or no signaling server. */
function isAbsence(error: unknown): boolean {
  return error instanceof NoWorkerError || error instanceof ConnectionError ||
    (error instanceof SignalingError && error.refusal === undefined);
}

/** The room without its worker: one that was started anew has another id. What is asked of a worker stays. */
function anyWorker({ sessionString, workerId: _, ...flags }: Flags): Flags {
  if (sessionString === undefined) return { ...flags, autoSelect: true };
  const { roomId, token } = parseSession(sessionString);
  return { ...flags, autoSelect: true, roomId, token };
}
