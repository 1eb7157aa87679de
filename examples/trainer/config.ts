/** From the command line and the YAML configuration to checked settings. */
import { join } from "node:path";
import { parse, YAMLError } from "yaml";
import { z } from "zod";
import { TrainerError } from "./trainer_error.ts";

/** The command line, taken apart. `overrides` are the `key=value` arguments in their order. */
export interface CommandLine {
  configPath: string;
  overrides: [key: string, value: string][];
}

/** What the trainer goes by. Lengths in px, times in s. */
export interface Settings {
  labelsPaths: string[];
  /** Standard deviation of the confidence maps. */
  sigma: number;
  /** Pixels per cell of the map in which peaks are looked for. */
  outputStride: number;
  maxEpochs: number;
  learningRate: number;
  seed: number;
  checkpointDir: string;
  runName: string;
  epochDelay: number;
  failAtEpoch: number | undefined;
}

type Tree = Record<string, unknown>;

const USAGE = "usage: train --config-name NAME --config-dir DIR [key=value ...]";
const KEY = /^\+{0,2}[A-Za-z]\w*(\.[A-Za-z]\w*)*$/;
// YAML would read a run named `1.0` as a number.
const TEXT_KEYS = new Set(["trainer_config.ckpt_dir", "trainer_config.run_name"]);

const name = z.string().refine((text) => text.trim() !== "", "must not be blank");
const head = z.looseObject({
  confmaps: z.looseObject({
    sigma: z.number().min(0.5).max(100).default(2.5),
    output_stride: z.number().int().positive().max(64).default(2),
  }),
});
const schema = z.looseObject({
  data_config: z.looseObject({
    train_labels_path: z.union([name.transform((path) => [path]), z.array(name).min(1)]),
  }),
  model_config: z.looseObject({ head_configs: z.record(z.string(), head.nullable()) }),
  trainer_config: z.looseObject({
    max_epochs: z.number().int().positive(),
    seed: z.number().int().nullish(),
    optimizer: z.looseObject({ lr: z.number().positive() }),
    ckpt_dir: name,
    run_name: name,
    epoch_delay_s: z.number().nonnegative().max(3600).default(0),
    fail_at_epoch: z.number().int().positive().nullish(),
  }),
});

/** Takes `train --config-name C --config-dir D key=value ...` apart. Throws TrainerError, exit status 2. */
export function parseCommandLine(args: readonly string[]): CommandLine {
  if (args[0] !== "train") throw new TrainerError(USAGE, 2);
  const options = new Map([["--config-dir", "."]]);
  const overrides: [string, string][] = [];
  for (let i = 1; i < args.length; i++) {
    const argument = args[i] ?? "";
    const option = /^(--config-(?:name|dir))(?:=(.*))?$/s.exec(argument);
    if (option === null) overrides.push(parseOverride(argument));
    else options.set(option[1] ?? "", option[2] ?? args[++i] ?? "");
  }
  const configName = options.get("--config-name") ?? "";
  const configDir = options.get("--config-dir") ?? "";
  if (configName === "" || configDir === "") throw new TrainerError(USAGE, 2);
  return { configPath: join(configDir, configName), overrides };
}

function parseOverride(argument: string): [key: string, value: string] {
  const equals = argument.indexOf("=");
  const key = argument.slice(0, Math.max(equals, 0));
  if (!KEY.test(key)) throw new TrainerError(`bad override '${argument}': expected key=value`, 2);
  return [key.replace(/^\++/, ""), argument.slice(equals + 1)];
}

/**
 * Reads the YAML file and puts the overrides into it; overrides nobody asks for just stay in the tree.
 * Throws TrainerError when the file is missing or no YAML mapping, or an override does not fit.
 */
export async function readConfig(commandLine: CommandLine): Promise<Tree> {
  const tree = parseTree(await readText(commandLine.configPath), commandLine.configPath);
  for (const [key, value] of commandLine.overrides) applyOverride(tree, key, value);
  return tree;
}

async function readText(path: string): Promise<string> {
  try {
    return await Deno.readTextFile(path);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) throw new TrainerError(`config file not found: ${path}`);
    throw error;
  }
}

function parseTree(text: string, path: string): Tree {
  const value = parseYaml(text, () => {
    throw new TrainerError(`config file is not valid YAML: ${path}`);
  });
  if (!isTree(value)) throw new TrainerError(`config file holds no settings: ${path}`);
  return value;
}

function parseYaml(text: string, otherwise: () => unknown): unknown {
  try {
    const value: unknown = parse(text, { logLevel: "error" });
    return value;
  } catch (error) {
    if (!(error instanceof YAMLError)) throw error;
    return otherwise();
  }
}

function applyOverride(tree: Tree, key: string, text: string): void {
  const steps = key.split(".");
  const last = steps.pop() ?? "";
  let place = tree;
  for (const step of steps) place = branch(place, step, key);
  place[last] = TEXT_KEYS.has(key) ? text : parseYaml(text, () => text);
}

function branch(tree: Tree, step: string, key: string): Tree {
  const found = Object.hasOwn(tree, step) ? tree[step] : undefined;
  if (isTree(found)) return found;
  if (found !== undefined && found !== null) {
    throw new TrainerError(`bad override '${key}': '${step}' is a value, not a section`, 2);
  }
  const created: Tree = {};
  tree[step] = created;
  return created;
}

function isTree(value: unknown): value is Tree {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** Checks the tree and picks out what the trainer goes by. Throws TrainerError naming the first wrong key. */
export function parseSettings(tree: Tree): Settings {
  const result = schema.safeParse(tree);
  if (!result.success) {
    const issue = result.error.issues[0];
    throw new TrainerError(`bad setting ${issue?.path.join(".") ?? ""}: ${issue?.message ?? "unknown"}`);
  }
  const { data_config: data, model_config: model, trainer_config: trainer } = result.data;
  const chosen = Object.values(model.head_configs).find((each) => each !== null);
  if (!chosen) throw new TrainerError("bad setting model_config.head_configs: one head must be set");
  return {
    labelsPaths: data.train_labels_path,
    sigma: chosen.confmaps.sigma,
    outputStride: chosen.confmaps.output_stride,
    maxEpochs: trainer.max_epochs,
    learningRate: trainer.optimizer.lr,
    seed: trainer.seed ?? 0,
    checkpointDir: trainer.ckpt_dir,
    runName: trainer.run_name,
    epochDelay: trainer.epoch_delay_s,
    failAtEpoch: trainer.fail_at_epoch ?? undefined,
  };
}
