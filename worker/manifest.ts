/** What a job has made, file by file, as its client is told and its journal keeps it. */
import { getLogger } from "@logtape/logtape";
import { errorText } from "../config/user_error.ts";
import { type ResultFile, RESULTS_LIST_BYTES, type ResultsPlace } from "../protocol/jobs.ts";
import { formatMessage } from "../protocol/message.ts";
import { hashFile } from "../storage/file_hash.ts";
import { listFiles } from "../storage/tree.ts";
import type { Say } from "./job.ts";

const logger = getLogger(["sleap-rtc", "worker", "results"]);

/** A file, or a folder with all below it. */
export interface Made {
  /** Below the output folder, with `/`. */
  name: string;
  /** Absolute; where the same bytes can be read here. */
  path: string;
  /** Files below it that are older, in milliseconds since 1970, were there before the job; default: none are. */
  since?: number;
}

/** Tells names, sizes and hashes. Never throws: results that cannot be listed are results all the same. */
export async function tellResults(say: Say, place: ResultsPlace, made: readonly Made[]): Promise<void> {
  try {
    for await (const files of lists(made)) {
      await say(formatMessage({ type: "JOB_RESULTS", json: JSON.stringify({ place, files }) }));
    }
  } catch (error) {
    logger.warn("the results cannot be listed: {reason}", { reason: errorText(error) });
  }
}

/** As many files at a time as fit into a message. */
async function* lists(made: readonly Made[]): AsyncGenerator<ResultFile[], void> {
  let [files, bytes] = [[] as ResultFile[], 0];
  for await (const file of filesOf(made)) {
    const length = new TextEncoder().encode(JSON.stringify(file)).length + 1;
    if (bytes + length > RESULTS_LIST_BYTES) {
      yield files;
      [files, bytes] = [[], 0];
    }
    files.push(file);
    bytes += length;
  }
  if (files.length > 0) yield files;
}

async function* filesOf(made: readonly Made[]): AsyncGenerator<ResultFile, void> {
  for (const { name, path, since = -Infinity } of made) {
    const isFile = (await Deno.stat(path)).isFile;
    const files = isFile ? [{ name: "", path }] : await listFiles(path, "inside");
    for (const file of files) {
      if (((await Deno.stat(file.path)).mtime?.getTime() ?? Infinity) < since) continue;
      yield { name: isFile ? name : `${name}/${file.name}`, ...await hashFile(file.path) };
    }
  }
}
