import assert from "node:assert/strict";
import { join } from "node:path";
import { parseMessage } from "../../protocol/message.ts";
import { FileReceiver } from "../../rtc/receive.ts";
import { sendFile } from "../../rtc/send.ts";
import { createInside } from "../../storage/containment.ts";
import { withTempDir } from "../examples/trainer_run.ts";
import { withPair } from "./pair.ts";

Deno.test("transfer: a file of several reads arrives equal over the native library", () =>
  withTempDir((dir) =>
    withPair(async ({ near, far }) => {
      const bytes = crypto.getRandomValues(new Uint8Array(65_000)).toBase64().repeat(40);
      const source = join(dir, "source");
      await Deno.writeTextFile(source, bytes);
      const receiving = (async (): Promise<string> => {
        let receiver: FileReceiver | undefined;
        for await (const message of far) {
          if (typeof message !== "string") await receiver?.write(message);
          else {
            const parsed = parseMessage(message);
            if (parsed.type === "END_OF_FILE") return await receiver!.finish();
            assert.equal(parsed.type, "FILE_META");
            if (parsed.type !== "FILE_META") continue;
            receiver = new FileReceiver(parsed.name, parsed.size, await createInside(dir, parsed.name));
          }
        }
        assert.fail("the channel ended");
      })();
      using file = await Deno.open(source);
      const progress: number[] = [];
      const onProgress = (done: number): number => progress.push(done);
      await sendFile(near, { name: "copy", size: bytes.length, hint: "False", file }, { onProgress });
      assert.equal(await receiving, join(await Deno.realPath(dir), "copy"));
      assert.ok(await Deno.readTextFile(join(dir, "copy")) === bytes);
      assert.equal(progress.at(-1), bytes.length);
    })
  ));
