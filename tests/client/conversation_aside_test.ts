import assert from "node:assert/strict";
import { Conversation } from "../../client/conversation.ts";
import { linkedChannels } from "../rtc/fake_native.ts";

Deno.test("an aside hears the messages of its type while others read the rest, and no more when it is over", async () => {
  const { near, far } = linkedChannels();
  try {
    const conversation = new Conversation(near);
    const report = 'PREFLIGHT_REPORT::{"files":[],"free":null}';
    {
      using aside = conversation.aside("PREFLIGHT_REPORT");
      const heard = aside.next();
      await far.send(report);
      await far.send("JOB_FAILED::no");
      assert.equal((await conversation.next())?.type, "JOB_FAILED");
      assert.equal((await heard)?.type, "PREFLIGHT_REPORT");
      assert.equal(await aside.next(1), undefined);
      const over = new AbortController();
      const waiting = aside.next(undefined, over.signal);
      over.abort(new Error("over"));
      await assert.rejects(waiting, /over/);
    }
    await far.send(report);
    assert.equal((await conversation.next())?.type, "PREFLIGHT_REPORT");
  } finally {
    await near.close();
  }
});
