import { getLogger } from "@logtape/logtape";
import { errorText } from "../config/user_error.ts";
import type { ClusterEvents } from "./cluster.ts";
import type { Queue } from "./queue.ts";
import type { Rooms } from "./rooms.ts";

const logger = getLogger(["sleap-rtc", "signaling", "queue"]);

/** Has a queue run while its server leads, one change after the other; for these rooms. */
export function queueEvents(queue: Queue, rooms: Rooms): ClusterEvents {
  let work = Promise.resolve();
  const then = (step: () => Promise<void>): void => {
    work = work.then(step).catch((error) =>
      logger.error("the queue: {reason}", { reason: errorText(error) })
    );
  };
  return {
    gained: (peers): void =>
      then(async () => {
        logger.info("this server leads the queue");
        await queue.start(peers(), rooms.ids());
      }),
    lost: (isLeaving): void =>
      then(async () => {
        if (!isLeaving) logger.warn("this server does not lead the queue any more");
        await queue.stop();
      }),
    job: async (peer, text): Promise<void> => {
      await work;
      queue.handle(peer, JSON.parse(text));
      await queue.settled();
    },
  };
}
