/**
 * A small, real trainer that takes the command line of `sleap-nn train`, for machines without sleap-nn.
 *
 *     deno run --no-prompt --allow-read --allow-write=. main.ts \
 *       train --config-name C --config-dir . [key=value ...]
 *
 * Exit status: 0 trained, 1 bad input, 2 bad command line, 3 failed on request (`trainer_config.fail_at_epoch`).
 */
import { join } from "node:path";
import process from "node:process";
import { stringify } from "yaml";
import { parseCommandLine, parseSettings, readConfig, type Settings } from "./config.ts";
import { evaluate } from "./evaluate.ts";
import { type Labels, readLabels } from "./labels.ts";
import { fit, HIDDEN, type Model } from "./model.ts";
import { PATCH_SIZE, PATCH_STEP } from "./patches.ts";
import { TrainerError } from "./trainer_error.ts";

interface Training {
  settings: Settings;
  labels: Labels;
  runDir: string;
}

async function main(args: string[]): Promise<void> {
  // The YAML library looks for debug switches in the environment, which this program has no permission to read.
  process.env = {};
  const config = await readConfig(parseCommandLine(args));
  const settings = parseSettings(config);
  const labels = await readAllLabels(settings.labelsPaths);
  const runDir = join(settings.checkpointDir, settings.runName);
  await Deno.mkdir(runDir, { recursive: true });
  await Deno.writeTextFile(join(runDir, "training_config.yaml"), stringify(config));
  announce(settings, labels);
  const model = await train({ settings, labels, runDir });
  report(model, settings, labels);
  console.log(`Model written to ${runDir}`);
}

async function readAllLabels(paths: string[]): Promise<Labels> {
  const all: Labels[] = [];
  for (const path of paths) all.push(await readLabels(path));
  const nodeNames = all[0]?.nodeNames ?? [];
  if (all.some((labels) => labels.nodeNames.join("\n") !== nodeNames.join("\n"))) {
    throw new TrainerError("the labels files have different nodes");
  }
  return {
    nodeNames,
    frames: all.flatMap((labels) => labels.frames),
    skipped: all.reduce((sum, labels) => sum + labels.skipped, 0),
  };
}

function announce(settings: Settings, labels: Labels): void {
  const points = labels.frames.reduce((sum, frame) => sum + frame.points.length, 0);
  const skipped = labels.skipped > 0 ? ` (${labels.skipped} without a readable image left out)` : "";
  console.log(`Run ${settings.runName}: example trainer, ${settings.maxEpochs} epochs`);
  console.log(
    `Labels: ${labels.frames.length} frame(s)${skipped}, ${points} points, nodes ${
      labels.nodeNames.join(", ")
    }`,
  );
}

/** Every epoch leaves the files as they are then, so that an interrupted run keeps its best model. */
async function train({ settings, labels, runDir }: Training): Promise<Model> {
  const history: number[] = [];
  let best: Model = { nodeCount: labels.nodeNames.length, weights: new Float32Array() };
  let begin = performance.now();
  for (const { epoch, loss, model } of fit(labels.frames, labels.nodeNames.length, settings)) {
    if (!Number.isFinite(loss)) {
      throw new TrainerError(`training diverged in epoch ${epoch}; lower the learning rate`);
    }
    if (history.every((earlier) => loss < earlier)) best = { ...model, weights: model.weights.slice() };
    history.push(loss);
    await writeResults(runDir, settings, labels, best, history);
    const seconds = ((performance.now() - begin) / 1000).toFixed(2);
    console.log(`Epoch ${epoch}/${settings.maxEpochs}  loss=${loss.toFixed(6)}  time=${seconds}s`);
    if (epoch === settings.failAtEpoch) throw failure(epoch);
    if (epoch < settings.maxEpochs) await pause(settings.epochDelay);
    begin = performance.now();
  }
  return best;
}

function failure(epoch: number): TrainerError {
  return new TrainerError(`stopped after epoch ${epoch}, as trainer_config.fail_at_epoch asks`, 3);
}

function pause(seconds: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, seconds * 1000));
}

/** Only what follows from configuration and labels: the same input gives the same bytes. */
async function writeResults(
  runDir: string,
  settings: Settings,
  labels: Labels,
  best: Model,
  history: number[],
): Promise<void> {
  const content = {
    format: "sleap-rtc example model 1",
    run_name: settings.runName,
    node_names: labels.nodeNames,
    architecture: { patch_size: PATCH_SIZE, patch_step: PATCH_STEP, hidden: HIDDEN, activation: "relu" },
    sigma: settings.sigma,
    loss_history: history,
    // In the order hidden weights, hidden biases, output weights, output biases.
    weights: { dtype: "float32", length: best.weights.length, base64: toBase64(best.weights) },
  };
  await Deno.writeTextFile(join(runDir, "best_model.json"), JSON.stringify(content, null, 2) + "\n");
  const lines = history.map((loss, i) => `${i + 1},${loss}\n`);
  await Deno.writeTextFile(join(runDir, "training_log.csv"), `epoch,loss\n${lines.join("")}`);
}

function toBase64(values: Float32Array): string {
  // Little-endian on every machine Deno runs on.
  return new Uint8Array(values.buffer, values.byteOffset, values.byteLength).toBase64();
}

/** Errors on the training frames themselves: whether the fit worked, not how well it does elsewhere. */
function report(model: Model, settings: Settings, labels: Labels): void {
  const errors = evaluate(model, labels.frames, settings);
  labels.nodeNames.forEach((name, node) => {
    const error = errors[node];
    const text = error === undefined ? "no labels" : `${error.toFixed(2)} px`;
    console.log(`Peak error on the training frames, node ${name}: ${text}`);
  });
}

function fail(error: unknown): never {
  const message = error instanceof Error ? error.message : String(error);
  console.error(`error: ${message.replaceAll(/\s*\n\s*/g, "; ")}`);
  Deno.exit(error instanceof TrainerError ? error.exitCode : 1);
}

if (import.meta.main) await main(Deno.args).catch(fail);
