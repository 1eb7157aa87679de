import { getLogger } from "@logtape/logtape";
import { basename, join } from "node:path";
import { makeFolderInside } from "../storage/containment.ts";
import { publish, publishContents, type TreeSize } from "../storage/copy.ts";
import { type JobResult, MODELS } from "./job.ts";
import type { Made } from "./manifest.ts";

const logger = getLogger(["sleap-rtc", "worker", "results"]);

/** Results in the place where the client wanted them. */
export interface Delivered extends TreeSize {
  made: readonly Made[];
}

/**
 * Puts results where the client asked for them, on shared storage: each run's folder into `models/` below `output`
 * (or into `output` itself when that is called `models`), predictions into `output`. Nothing that is there is
 * overwritten: a name that is taken gets a number. `output` is a true path; links in it are not followed outside.
 * Returns what was written. Throws `PathValidationError` and Deno's file errors.
 */
export async function publishResults(
  result: JobResult,
  output: string,
  signal: AbortSignal,
): Promise<Delivered> {
  const size = { files: 0, bytes: 0, made: [] as Made[] };
  const count = ({ files, bytes }: TreeSize, paths: readonly string[], prefix = ""): void => {
    for (const path of paths) {
      logger.info("results are in {path}", { path });
      size.made.push({ name: prefix + basename(path), path });
    }
    size.files += files;
    size.bytes += bytes;
  };
  if (result.models !== undefined) {
    const target = basename(output) === MODELS ? output : await makeFolderInside(output, MODELS);
    // A package that lay unpacked in the output folder has its results there already.
    if (target !== result.models) {
      const published = await publishContents(result.models, target, signal).catch(async (error) => {
        // Stays where a run, whole, is in it.
        if (target !== output) await Deno.remove(target).catch(() => {});
        throw error;
      });
      count(published, published.paths, `${MODELS}/`);
    } else size.made.push({ name: MODELS, path: target, since: result.began });
  }
  for (const path of result.predictions) {
    if (join(output, basename(path)) === path) {
      size.made.push({ name: basename(path), path });
      continue;
    }
    const published = await publish(path, output, basename(path), signal);
    count(published, [published.path]);
  }
  return size;
}

/** What a client is told when a job did not do all that its package asks; undefined when it did. */
export function failureText({ runs, failed }: JobResult): string | undefined {
  if (runs === 0) return "the package's script has no line that a worker runs";
  if (failed.length === 0) return undefined;
  const list = failed.map(({ name, status }) => `${name} (exit code ${status})`).join(", ");
  return `${failed.length} of ${runs} runs failed: ${list}`;
}
