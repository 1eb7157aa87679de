/** What every command about one job begins with. */
import { type Config, loadConfig } from "../config/load.ts";
import { configureLog } from "../config/log.ts";
import { roomOf } from "./attach.ts";
import type { ClientEvent } from "./event.ts";
import { type CommonFlags, namesRoom } from "./flags.ts";
import { type JobRecord, readRecord } from "./job_records.ts";
import { type Screen, screenFor } from "./screen.ts";

/** A job that was submitted before, and how it is reached. */
export interface Prepared {
  record: JobRecord;
  room: ReturnType<typeof roomOf>;
  config: Config;
  screen: Screen;
}

/**
 * Room, settings and screen of a command about one job; `result`: see `screenFor`. Throws `ConfigError` for a job that
 * nobody knows here.
 */
export async function prepareForJob(
  id: string,
  flags: CommonFlags,
  result?: ClientEvent["event"],
): Promise<Prepared> {
  namesRoom(flags);
  await configureLog(flags);
  const config = loadConfig(flags);
  const record = await readRecord(id);
  return { record, room: roomOf(record, flags), config, screen: await screenFor(flags, result) };
}
