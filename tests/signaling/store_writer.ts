/** Puts jobs into a store until it is killed, and tells the number of each when the put has returned. */
import { SqliteStore } from "../../signaling/sqlite_store.ts";

const store = await SqliteStore.open(Deno.args[0]!);
const encoder = new TextEncoder();
for (let number = 0;; number++) {
  await store.put("job", `j${number}`, { number });
  Deno.stdout.writeSync(encoder.encode(`${number}\n`));
}
