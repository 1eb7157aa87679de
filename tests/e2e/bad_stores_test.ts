import { fromSource } from "../../scripts/local_lab.ts";
import { refusesBadStores } from "./bad_stores.ts";

Deno.test("a signaling server says what is wrong with a store that it cannot use, and what to do", async () => {
  const folder = await Deno.makeTempDir({ prefix: "sleap-rtc-stores-" });
  try {
    await refusesBadStores(fromSource("signaling/main.ts"), folder);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});
