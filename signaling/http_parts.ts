/** What the handlers of the HTTP API have in common. */
import type { Context, Hono } from "hono";

/** What the server tells the API of a request: where it comes from, as `clientAddress` has it. */
export interface Env {
  Bindings: { address: string };
}
/** The HTTP API. */
export type Api = Hono<Env>;

/** The credential of an `Authorization` header. */
export function bearer(header: string | undefined): string | undefined {
  return header?.replace(/^bearer\s+/i, "");
}

/** The JSON of a request's body; undefined when it is none. */
export async function jsonBody(c: Context): Promise<unknown> {
  try {
    return await c.req.json();
  } catch {
    return undefined; // an empty or broken body has no fields
  }
}

/** The answer, in FastAPI's shape, to a request that lacks a field. */
export function missing(c: Context, where: "header" | "body", field: string): Response {
  return c.json(
    { detail: [{ type: "missing", loc: [where, field], msg: "Field required", input: null }] },
    422,
  );
}

/** The answer to who asks too often; `seconds` until it is worth trying again. */
export function tooMany(detail: string, seconds: number): Response {
  const headers = { "retry-after": String(Math.ceil(seconds)) };
  return Response.json({ detail }, { status: 429, headers });
}
