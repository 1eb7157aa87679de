/** The parts of the documentation that are made from the source: the reference of settings, the table of errors. */
import { z } from "zod";
import { ERROR_CODES, EXIT } from "../config/error_code.ts";
import { fileSchema } from "../config/schema.ts";

/** Of JSON Schema, what the settings use. */
const nodeSchema = z.object({
  type: z.string().optional(),
  description: z.string().optional(),
  default: z.unknown().optional(),
  enum: z.array(z.string()).optional(),
  minimum: z.number().optional(),
  exclusiveMinimum: z.number().optional(),
  maximum: z.number().optional(),
  get properties(): z.ZodOptional<z.ZodRecord<z.ZodString, typeof nodeSchema>> {
    return z.record(z.string(), nodeSchema).optional();
  },
  get additionalProperties(): z.ZodOptional<z.ZodUnion<readonly [z.ZodBoolean, typeof nodeSchema]>> {
    return z.union([z.boolean(), nodeSchema]).optional();
  },
  get items(): z.ZodOptional<typeof nodeSchema> {
    return nodeSchema.optional();
  },
  required: z.array(z.string()).optional(),
});
type Node = z.infer<typeof nodeSchema>;

/** Files with a generated part, and what makes it. */
export const GENERATED: Readonly<Record<string, () => string>> = {
  "docs/configuration.md": settingsReference,
  "docs/troubleshooting.md": errorTable,
};

const BEGIN = "<!-- made by `deno task docs`: change the source instead -->";
const END = "<!-- end -->";

/** A page with its generated part made anew. Throws when it has no place for one. */
export function withReference(page: string, part: string): string {
  const [begin, end] = [page.indexOf(BEGIN), page.indexOf(END)];
  if (begin < 0 || end < begin) throw new Error(`expected ${BEGIN} and ${END} in the page`);
  return `${page.slice(0, begin + BEGIN.length)}\n\n${part}\n${page.slice(end)}`;
}

/** Sections and keys of `sleap-rtc.toml`, from the schema that checks it. Throws for a key without a description. */
export function settingsReference(): string {
  const root = nodeSchema.parse(z.toJSONSchema(fileSchema, { io: "input", unrepresentable: "any" }));
  return Object.entries(root.properties ?? {}).flatMap(([name, node]) => section(name, node)).join("\n");
}

/** A section, and the sections inside of it. */
function section(path: string, node: Node, brackets: readonly [string, string] = ["[", "]"]): string[] {
  const entries = typeof node.additionalProperties === "object" ? node.additionalProperties : undefined;
  const here = entries?.properties ? `${path}.NAME` : path;
  const keys = Object.entries((entries ?? node).properties ?? {});
  const lines = keys.filter(([, key]) => !key.properties).map(([name, key]) =>
    line(here, name, key, entries ?? node)
  );
  const inner = keys.flatMap(([name, key]) => {
    if (key.properties) return section(`${here}.${name}`, key);
    return key.items?.properties ? section(`${here}.${name}`, key.items, ["[[", "]]"]) : [];
  });
  const heading = `### \`${brackets[0]}${here}${brackets[1]}\`\n`;
  const description = node.description === undefined ? [] : [`${node.description}\n`];
  return [heading, ...description, ...lines, "", ...inner];
}

function line(path: string, name: string, key: Node, { required = [] }: Node): string {
  if (key.description === undefined) {
    throw new Error(`${path}.${name} has no description in config/schema.ts`);
  }
  const facts = [kindOf(key), ...(required.includes(name) ? ["required"] : []), ...defaultOf(key)];
  return `- \`${name}\` (${facts.join(", ")}): ${key.description}`;
}

function kindOf({ type, enum: choices, minimum, exclusiveMinimum, maximum, items }: Node): string {
  if (choices) return choices.map((each) => `\`"${each}"\``).join(" or ");
  if (type === "string") return "text";
  if (type === "boolean") return "`true` or `false`";
  if (type === "array") return items?.properties ? "list of tables" : "list of texts";
  if (type === undefined) return "text, or as described";
  const least = exclusiveMinimum === undefined ? `from ${minimum}` : `above ${exclusiveMinimum}`;
  return `${type === "integer" ? "whole number" : "number"} ${least} to ${maximum}`;
}

function defaultOf({ default: value }: Node): string[] {
  if (value === undefined || value === "" || (Array.isArray(value) && value.length === 0)) return [];
  return [`default \`${JSON.stringify(value).replaceAll('","', '", "')}\``];
}

/** Every error code: meaning, remedy, exit code. */
export function errorTable(): string {
  const exits = [...new Set(Object.values(EXIT))].filter((exit) => exit !== EXIT.done);
  return exits.flatMap((exit) => {
    const rows = [...ERROR_CODES.values()].filter((row) => row.exit === exit)
      .map(({ code, meaning, remedy }) => `- **\`${code}\`**: ${meaning}. → ${sentence(remedy)}`);
    return [`### Exit code ${exit}\n`, ...rows, ""];
  }).join("\n");
}

function sentence(text: string): string {
  return text[0]!.toUpperCase() + text.slice(1) + (text.endsWith("?") ? "" : ".");
}
