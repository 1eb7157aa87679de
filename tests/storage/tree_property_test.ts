import assert from "node:assert/strict";
import fc from "fast-check";
import { dirname, join } from "node:path";
import {
  createInside,
  isInside,
  makeFolderInside,
  openInside,
  PathValidationError,
  resolveExisting,
} from "../../storage/containment.ts";
import { listTree, withTempDir } from "./temp.ts";

Deno.test.sanitizer({ ops: true, resources: true });

const name = fc.constantFrom("a", "b", "c", "d");
const path = fc.array(name, { minLength: 1, maxLength: 4 }).map((names) => names.join("/"));
/** Where links lead: relative or absolute, inside, outside, upwards, in circles. */
const target = fc.oneof(
  path,
  path.map((each) => `../${each}`),
  path.map((each) => `../../out/${each}`),
  path.map((each) => `ROOT/${each}`),
  path.map((each) => `OUT/${each}`),
  fc.constantFrom(
    ".",
    "..",
    "../..",
    "../../..",
    "/",
    "OUT",
    "ROOT",
    "ROOT/../out",
    "OUT/../root",
    "nowhere",
  ),
);
const entry = fc.record({
  path,
  kind: fc.oneof(
    fc.constant({ kind: "file" as const }),
    fc.constant({ kind: "folder" as const }),
    target.map((link) => ({ kind: "link" as const, link })),
  ),
});
const asked = fc.oneof(
  { weight: 6, arbitrary: fc.array(name, { maxLength: 5 }).map((names) => names.join("/")) },
  {
    weight: 1,
    arbitrary: fc.array(fc.oneof(name, fc.constantFrom("..", ".", "")), { maxLength: 5 })
      .map((names) => names.join("/")),
  },
);

type Entry = typeof entry extends fc.Arbitrary<infer Value> ? Value : never;

/** Makes what can be made of the entries below `base`; what is in the way of another is left out. */
async function grow(base: string, entries: readonly Entry[], root: string, out: string): Promise<void> {
  for (const { path, kind } of entries) {
    const full = join(base, path);
    try {
      await Deno.mkdir(dirname(full), { recursive: true });
      // Growing through a link may not leave the temporary folder.
      if (!isInside(await Deno.realPath(dirname(full)), dirname(root))) continue;
      if (kind.kind === "file") await Deno.writeTextFile(full, "content", { createNew: true });
      else if (kind.kind === "folder") await Deno.mkdir(full);
      else await Deno.symlink(kind.link.replace("ROOT", root).replace("OUT", out), full);
    } catch {
      // taken, or a link in the way
    }
  }
}

/** Runs an operation; undefined when it was refused, which is the only failure there may be. */
async function attempt<Result>(operation: Promise<Result>): Promise<Result | undefined> {
  try {
    return await operation;
  } catch (error) {
    assert.ok(error instanceof PathValidationError, `thrown: ${error}`);
    return undefined;
  }
}

Deno.test("in any tree with links, what is resolved, opened, made or created lies inside the root", () =>
  fc.assert(
    fc.asyncProperty(
      fc.array(entry, { maxLength: 12 }),
      fc.array(entry, { maxLength: 4 }),
      fc.array(asked, { minLength: 1, maxLength: 6 }),
      (inside, outside, questions) =>
        withTempDir(async (dir) => {
          const [root, out] = [join(dir, "root"), join(dir, "out")];
          await Deno.mkdir(root);
          await Deno.mkdir(out);
          await grow(out, outside, root, out);
          await grow(root, inside, root, out);
          const before = await listTree(out);
          for (const question of questions) {
            const resolved = await attempt(resolveExisting(root, question));
            if (resolved !== undefined) {
              assert.ok(isInside(resolved, root), `${question} resolved to ${resolved}`);
              assert.equal(await Deno.realPath(join(root, question).replace(/\/+$/, "")), resolved);
            }
            const opened = await attempt(openInside(root, question));
            if (opened) {
              opened.file.close();
              assert.equal(opened.path, resolved);
            }
            const folder = await attempt(makeFolderInside(root, question));
            if (folder !== undefined) {
              assert.ok(isInside(folder, root), `${question} was made at ${folder}`);
              assert.equal(await Deno.realPath(folder), folder);
            }
            const created = await attempt(createInside(root, `${question}/new`, { durable: false }));
            if (created) {
              assert.ok(isInside(await Deno.realPath(dirname(created.path)), root));
              await (question.length % 2 === 0 ? created.commit() : created.discard());
            }
          }
          assert.deepEqual(await listTree(out), before);
          const left = Object.keys(await listTree(root)).filter((each) => each.includes(".partial-"));
          assert.deepEqual(left, []);
        }),
    ),
    { numRuns: 250 },
  ));
