import type { z } from "zod";

/** A value that fits a schema, from JSON; undefined when it does not. */
export function parseJson<Schema extends z.ZodType>(
  schema: Schema,
  json: string,
): z.infer<Schema> | undefined {
  try {
    return schema.parse(JSON.parse(json));
  } catch {
    return undefined;
  }
}
