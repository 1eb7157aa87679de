/** Looks at what the runs of a package name: configurations, labels, models. */
import { checkRelativePath, PathValidationError } from "../../storage/containment.ts";
import { inFolder } from "../../storage/package_plan.ts";
import type { PlannedRun } from "./check_script.ts";
import { type NamedIn, parseYaml, readConfig } from "./config_file.ts";
import type { PackageContents } from "./contents.ts";
import type { Finding } from "./finding.ts";
import { isAbsolute, type NamedOuterFile } from "./questions.ts";

/** Labels that a package's runs use. */
export interface NamedLabels {
  /** Path in the package. */
  path: string;
  /** Whether something is trained with them. */
  isTraining: boolean;
  /** Nodes that configurations name, each with its place. */
  nodes: (NamedIn & { file: string })[];
}

/** Looks at what runs name, in one folder of a package. */
export class NamedFiles {
  readonly labels = new Map<string, NamedLabels>();
  readonly outer: NamedOuterFile[] = [];

  constructor(
    private readonly contents: PackageContents,
    private readonly folder: string,
    private readonly findings: Finding[],
  ) {}

  /** What a run names. Throws `UserError`, Deno's file errors for a package that cannot be read. */
  async add({ run, script, line }: PlannedRun): Promise<void> {
    const place = { file: script ?? (this.folder || "the package"), ...(line === undefined ? {} : { line }) };
    if (run.kind === "train") await this.#addConfig(run.config, place);
    else await this.#addArguments(run.arguments, place);
  }

  async #addConfig(config: string, place: Pick<Finding, "file" | "line">): Promise<void> {
    const file = await this.#configPath(config);
    const text = file === undefined ? undefined : await this.contents.readText(file);
    if (file === undefined || text === undefined) {
      this.findings.push({
        ...place,
        level: "failure",
        text: `the configuration ${config} is not in the package: expected it at ${
          inFolder(this.folder, config)
        }`,
      });
      return;
    }
    const found = await readConfig(file, text);
    if ("level" in found) return void this.findings.push(found);
    if (found.training.length === 0) {
      this.findings.push({ level: "failure", file, text: "it names no labels: expected train_labels_path" });
    }
    const nodes = found.nodes.map((node) => ({ ...node, file }));
    for (const labels of found.training) await this.#addNamed(labels, file, { isTraining: true, nodes });
    for (const labels of found.others) await this.#addNamed(labels, file, { isTraining: false, nodes });
  }

  /** Hydra adds the extension. */
  async #configPath(config: string): Promise<string | undefined> {
    for (const name of [config, `${config}.yaml`]) {
      const path = inFolder(this.folder, checkRelativePath(name).join("/"));
      if (await this.contents.find(path) === "file") return path;
    }
    return undefined;
  }

  /** Labels that a configuration names. */
  async #addNamed(
    { name, line }: NamedIn,
    file: string,
    use: Omit<NamedLabels, "path">,
  ): Promise<void> {
    const path = await this.#locate({ file, line }, name, "labels");
    if (path === undefined) return;
    const known = this.labels.get(path);
    this.labels.set(path, {
      path,
      isTraining: use.isTraining || (known?.isTraining ?? false),
      nodes: [...known?.nodes ?? [], ...use.nodes],
    });
  }

  /** The path in the package of a file that is named; else a finding, or a question to the worker. */
  async #locate(
    place: { file: string; line?: number | undefined },
    name: string,
    what: string,
  ): Promise<string | undefined> {
    const at = { file: place.file, ...(place.line === undefined ? {} : { line: place.line }) };
    if (isAbsolute(name)) {
      this.outer.push({ path: name, namedIn: at.file, ...("line" in at ? { line: at.line } : {}) });
      return undefined;
    }
    const path = this.#inside(name);
    if (path !== undefined && await this.contents.find(path)) return path;
    const why = path === undefined
      ? "leads out of the package, and does not travel"
      : `is not in the package: expected it at ${path}`;
    this.findings.push({ level: "failure", ...at, text: `the ${what} ${name} ${why}` });
    return undefined;
  }

  #inside(name: string): string | undefined {
    try {
      return inFolder(this.folder, checkRelativePath(name).join("/"));
    } catch (error) {
      if (error instanceof PathValidationError) return undefined;
      throw error;
    }
  }

  /** What inference reads (`sleap-nn track --help`). */
  async #addArguments(words: readonly string[], place: Pick<Finding, "file" | "line">): Promise<void> {
    const [data] = valuesOf(words, "--data_path", "-i");
    if (data === undefined) {
      this.findings.push({ ...place, level: "warning", text: "it names no data: expected --data_path" });
    } else {
      const path = await this.#locate(place, data, "data");
      if (path !== undefined && /\.slp$/i.test(path)) {
        this.labels.set(path, { path, isTraining: false, nodes: [] });
      }
    }
    for (const model of valuesOf(words, "--model_paths", "-m")) {
      const path = await this.#locate(place, model, "model");
      if (path !== undefined) await this.#addModel(path);
    }
  }

  async #addModel(path: string): Promise<void> {
    if (await this.contents.find(path) !== "folder") return;
    const names = (await this.contents.list(path)).map(({ name }) => name);
    if (names.some((name) => /^training_config\.(ya?ml|json)$/.test(name))) return;
    const text = "it is no model: expected a training_config.yaml in this folder";
    this.findings.push({ level: "warning", file: path, text });
  }

  /** What SLEAP writes beside the script (`jobs.yaml`), if anything: no worker reads it, people do. */
  async addJobsFile(): Promise<void> {
    const file = inFolder(this.folder, "jobs.yaml");
    const text = await this.contents.readText(file);
    if (text === undefined) return;
    const parsed = await parseYaml(file, text);
    if ("level" in parsed) this.findings.push({ ...parsed, level: "warning" });
  }
}

/** The values of an option, in either spelling, `--option value` and `--option=value`. */
function valuesOf(words: readonly string[], long: string, short: string): string[] {
  return words.flatMap((word, index) => {
    if (word === long || word === short) return words[index + 1] ?? [];
    return word.startsWith(`${long}=`) ? word.slice(long.length + 1) : [];
  });
}
