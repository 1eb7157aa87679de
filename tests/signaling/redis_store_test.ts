import assert from "node:assert/strict";
import { UserError } from "../../config/user_error.ts";
import { Leadership } from "../../signaling/leadership.ts";
import { RedisLink } from "../../signaling/redis_link.ts";
import { HAS_REDIS, withRedis } from "./redis.ts";
import { storeCases } from "./store_cases.ts";

const ignore = !HAS_REDIS;

storeCases("Redis", (test) =>
  withRedis(async (redis) => {
    const store = await redis.store();
    await test(store);
    await store.close();
  }), { ignore });

Deno.test("a Redis that is not there is an error without the password", async () => {
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const { port } = listener.addr;
  listener.close();
  await assert.rejects(RedisLink.open(`redis://lab:geheim@127.0.0.1:${port}/0`), (error) => {
    assert.ok(error instanceof UserError && error.hint);
    assert.match(error.message, new RegExp(`cannot use Redis at redis://\\*\\*\\*@127.0.0.1:${port}/0: `));
    assert.doesNotMatch(`${error.message} ${error.hint}`, /geheim/);
    return true;
  });
});

Deno.test({
  name: "one server leads; when it lets go another does, and the first may put no job any more",
  ignore,
  fn: () =>
    withRedis(async (redis) => {
      const said: string[] = [];
      const stores = [await redis.store(), await redis.store()];
      const [first, second] = stores.map((store, index) => {
        const leadership = new Leadership(store.link, `s${index}`, {
          gained: () => said.push(`s${index} gained`),
          lost: () => said.push(`s${index} lost`),
          changed: (leader) => said.push(`s${index} sees ${leader}`),
        });
        store.jobGuard = () => leadership.guard;
        return leadership;
      });
      assert.ok(first && second && stores[0] && stores[1]);
      await first.renew();
      await second.renew();
      await first.renew();
      assert.deepEqual(said.splice(0), ["s0 gained", "s0 sees s0", "s1 sees s0"]);
      assert.deepEqual([first.isLeader, second.isLeader, second.leader], [true, false, "s0"]);
      await stores[0].put("job", "a", 1);
      await assert.rejects(stores[1].put("job", "a", 2), /another server leads/);
      const guard = first.guard;

      await first.release();
      await second.renew();
      await first.renew();
      assert.deepEqual(said.splice(0), ["s0 lost", "s1 gained", "s1 sees s1", "s0 sees s1"]);
      await stores[1].put("job", "a", 3);
      // As if it had not noticed that its time is over.
      stores[0].jobGuard = () => guard;
      await assert.rejects(stores[0].put("job", "a", 4), /another server leads/);
      assert.equal(await stores[0].get("job", "a"), 3);
      await second.release();
      for (const store of stores) await store.close();
    }),
});
