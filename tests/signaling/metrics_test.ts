import assert from "node:assert/strict";
import { Metrics } from "../../signaling/metrics.ts";
import { Rooms } from "../../signaling/rooms.ts";
import { withRoom } from "./test_peer.ts";

const TEXT = {
  accept: "application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.3,*/*;q=0.1",
};

/** The value of one line of Prometheus' format; undefined when there is none. */
function value(text: string, line: string): string | undefined {
  return text.split("\n").find((each) => each.startsWith(`${line} `))?.slice(line.length + 1);
}

Deno.test("Prometheus gets its own format by its Accept header, or by ?format=prometheus", () =>
  withRoom(async ({ server }, join) => {
    const worker = await join("w", { role: "worker" });
    await worker.next();
    await (await join("odd", { role: 'x"} 1\nmine 1' })).next();
    await worker.ask({ type: "nonsense" });
    await worker.ask({ type: "update_metadata" });
    worker.send({ type: "relay", sender: "w", target: "odd", data: "abc" });
    await worker.assertSilent();
    const url = `${server.httpUrl}/metrics`;
    const response = await fetch(url, { headers: TEXT });
    assert.match(response.headers.get("content-type") ?? "", /^text\/plain; version=0\.0\.4/);
    const text = await response.text();
    const expected = {
      "sleap_rtc_rooms": "1",
      "sleap_rtc_active_rooms": "1",
      "sleap_rtc_rooms_created_total": "1",
      "sleap_rtc_open_connections": "2",
      "sleap_rtc_connections_total": "2",
      'sleap_rtc_peers{role="worker"}': "1",
      'sleap_rtc_peers{role="other"}': "1",
      'sleap_rtc_messages_total{type="register"}': "2",
      'sleap_rtc_messages_total{type="unknown"}': "2",
      'sleap_rtc_errors_total{code="UNKNOWN_MESSAGE_TYPE"}': "2",
      'sleap_rtc_errors_total{code="INVALID_MESSAGE"}': "1",
      "sleap_rtc_relayed_bytes_total": String(
        '{"type":"relay","sender":"w","target":"odd","data":"abc"}'.length,
      ),
      "sleap_rtc_queue_wait_seconds_count": "0",
    };
    for (const [line, count] of Object.entries(expected)) assert.equal(value(text, line), count, line);
    assert.doesNotMatch(text, /mine/);
    const asked = await fetch(`${url}?format=prometheus`);
    assert.match(await asked.text(), /^# HELP /);
    for (const headers of [{}, { accept: "*/*" }, { accept: "application/json" }]) {
      const json = await (await fetch(url, { headers })).json();
      assert.equal(json.active_connections, 2);
    }
  }));

Deno.test("others add their own gauges, asked for at each look", async () => {
  const metrics = new Metrics(new Rooms());
  let queued = 1;
  metrics.gauges("jobs", "jobs by state", "state", () => ({ queued }));
  metrics.queueWait.observe(30);
  metrics.routingDecisions.inc({ decision: "offered" });
  assert.equal(value(await metrics.text(), 'sleap_rtc_jobs{state="queued"}'), "1");
  queued = 5;
  const text = await metrics.text();
  assert.equal(value(text, 'sleap_rtc_jobs{state="queued"}'), "5");
  assert.equal(value(text, 'sleap_rtc_queue_wait_seconds_bucket{le="60"}'), "1");
  assert.equal(value(text, 'sleap_rtc_routing_decisions_total{decision="offered"}'), "1");
});
