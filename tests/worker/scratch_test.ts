import assert from "node:assert/strict";
import { join } from "node:path";
import { fromSource, LabProcess } from "../../scripts/local_lab.ts";
import { withTempDir } from "../storage/temp.ts";

Deno.test("a scratch folder that cannot be used is named, with what to do, and exit code 2", () =>
  withTempDir(async (dir) => {
    const file = join(dir, "file");
    await Deno.writeTextFile(file, "");
    for (const scratch of [file, join(file, "below"), "/proc/none"]) {
      const worker = new LabProcess([...fromSource("worker/main.ts"), "--scratch", scratch], { cwd: dir });
      assert.equal(await worker.exited(), 2, worker.output);
      assert.match(worker.output, new RegExp(`^error: cannot use the scratch folder ${scratch}: `, "m"));
      assert.match(worker.output, /^hint: give --scratch, or scratch under \[worker\], a folder that/m);
    }
  }));
