/** Training configurations: YAML or JSON, and what they name. */
import type { Document, LineCounter } from "yaml";
import { z } from "zod";
import { errorText } from "../../config/user_error.ts";
import type { Finding } from "./finding.ts";

/** Aliases of a document are resolved so many times at most: each may repeat all that it stands for. */
const MAX_ALIASES = 100;

/** A name in a configuration, and the line that it stands in. */
export interface NamedIn {
  name: string;
  line: number;
}

/** What a training configuration names. */
export interface TrainingConfig {
  /** Labels to train with, and others. Paths are relative to the folder of the run, or absolute. */
  training: NamedIn[];
  others: NamedIn[];
  /** Nodes of the skeleton. */
  nodes: NamedIn[];
}

const named = z.union([z.string(), z.array(z.string())]).nullish();
const headSchema = z.record(
  z.string(),
  z.record(
    z.string(),
    z.object({ part_names: named.catch(undefined), anchor_part: named.catch(undefined) }).nullish().catch(
      undefined,
    ),
  ).nullish().catch(undefined),
).nullish().catch(undefined);
/** sleap-nn's. */
const configSchema = z.object({
  data_config: z.object({ train_labels_path: named, val_labels_path: named, test_file_path: named }),
  model_config: z.object({ head_configs: headSchema }),
});
/** SLEAP's own before, which sleap-nn takes as well. */
const legacySchema = z.object({
  data: z.object({
    labels: z.object({ training_labels: named, validation_labels: named, test_labels: named }),
  }),
});

/** Where the paths of labels are: those to train with first. */
const PATHS = ["train_labels_path", "val_labels_path", "test_file_path"].map((key) => ["data_config", key]);
const LEGACY_PATHS = ["training_labels", "validation_labels", "test_labels"].map((
  key,
) => ["data", "labels", key]);

/** A document of YAML or JSON; a finding when it is none. */
export async function parseYaml(
  file: string,
  text: string,
): Promise<{ document: Document.Parsed; lines: LineCounter; value: unknown } | Finding> {
  // No other command needs it.
  const { LineCounter, parseDocument } = await import("../yaml.ts");
  const lines = new LineCounter();
  try {
    const document = parseDocument(text, { lineCounter: lines, prettyErrors: false });
    const [fault] = document.errors;
    if (fault) {
      const { line } = lines.linePos(fault.pos[0]);
      return { level: "failure", file, line, text: `it is not YAML: ${fault.message}` };
    }
    const value: unknown = document.toJS({ maxAliasCount: MAX_ALIASES });
    return { document, lines, value };
  } catch (error) {
    // Too many aliases, or nested so deep that the stack ends.
    return { level: "failure", file, text: `it cannot be read as YAML: ${errorText(error)}` };
  }
}

/** What a training configuration names; a finding when it is none. */
export async function readConfig(file: string, text: string): Promise<TrainingConfig | Finding> {
  const parsed = await parseYaml(file, text);
  if ("level" in parsed) return parsed;
  const { document, lines, value } = parsed;
  const isLegacy = legacySchema.safeParse(value).success;
  const found = configSchema.safeParse(value);
  if (!isLegacy && !found.success) return notAConfig(file, found.error);
  const namesAt = (path: readonly string[]): NamedIn[] => namedAt(document, lines, value, path);
  const [training = [], ...others] = (isLegacy ? LEGACY_PATHS : PATHS).map(namesAt);
  return { training, others: others.flat(), nodes: nodePaths(found.data).flatMap(namesAt) };
}

function notAConfig(file: string, { issues: [issue] }: z.ZodError): Finding {
  const where = issue?.path.join(".") || "the whole";
  return {
    level: "failure",
    file,
    text: `it is no training configuration of sleap-nn: ${where}: ${issue?.message ?? ""}`,
  };
}

function nodePaths(config: z.infer<typeof configSchema> | undefined): string[][] {
  const heads = config?.model_config.head_configs ?? {};
  return Object.entries(heads).flatMap(([head, parts]) =>
    Object.keys(parts ?? {}).flatMap((part) =>
      ["part_names", "anchor_part"].map((key) => ["model_config", "head_configs", head, part, key])
    )
  );
}

/** The texts at a path, or in the list there. */
function namedAt(
  document: Document.Parsed,
  lines: LineCounter,
  value: unknown,
  path: readonly string[],
): NamedIn[] {
  const lineOf = (at: readonly (string | number)[]): number => {
    const node: unknown = document.getIn(at, true);
    const range: unknown = typeof node === "object" && node !== null ? Reflect.get(node, "range") : undefined;
    return Array.isArray(range) ? lines.linePos(Number(range[0])).line : 1;
  };
  const found = path.reduce<unknown>(
    (at, key) => z.record(z.string(), z.unknown()).safeParse(at).data?.[key],
    value,
  );
  if (typeof found === "string") return found === "" ? [] : [{ name: found, line: lineOf(path) }];
  if (!Array.isArray(found)) return [];
  return found.flatMap((name: unknown, index) =>
    typeof name === "string" && name !== "" ? [{ name, line: lineOf([...path, index]) }] : []
  );
}
