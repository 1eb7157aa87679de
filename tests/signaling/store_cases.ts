import assert from "node:assert/strict";
import type { Store } from "../../signaling/store.ts";

/** What every store does. `withStore` runs a test with an empty one. */
export function storeCases(
  name: string,
  withStore: (test: (store: Store) => Promise<void>) => Promise<void>,
  options: Partial<Deno.TestDefinition> = {},
): void {
  const test = (text: string, fn: (store: Store) => Promise<void>): void =>
    Deno.test({ ...options, name: `${name}: ${text}`, fn: () => withStore(fn) });

  test("values are kept by kind and key", async (store) => {
    assert.deepEqual(await store.all("room"), new Map());
    await store.put("room", "a", { token: "1", list: [1, null, "ü\u0000\u{1f980}"] });
    await store.put("job", "a", 2);
    await store.put("room", "b'; DROP TABLE entry; --", "x");
    assert.deepEqual(
      await store.all("room"),
      new Map<string, unknown>([
        ["a", { token: "1", list: [1, null, "ü\u0000\u{1f980}"] }],
        ["b'; DROP TABLE entry; --", "x"],
      ]),
    );
    assert.deepEqual(await store.all("job"), new Map([["a", 2]]));
  });

  test("a later value takes the place of the earlier, and what is deleted is gone", async (store) => {
    await store.put("setting", "a", 1);
    await store.put("setting", "a", { second: true });
    await store.put("setting", "__proto__", 3);
    await store.delete("setting", "never there");
    assert.deepEqual((await store.all("setting")).get("a"), { second: true });
    assert.equal((await store.all("setting")).get("__proto__"), 3);
    await store.delete("setting", "a");
    await store.delete("setting", "__proto__");
    assert.equal((await store.all("setting")).size, 0);
  });
}
