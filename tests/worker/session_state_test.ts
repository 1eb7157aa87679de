import assert from "node:assert/strict";
import { RULES, type SessionState, verdict } from "../../worker/session_state.ts";

const STATES: readonly SessionState[] = ["ready", "following", "visiting"];

Deno.test("the documentation has the rules of a session as they are", async () => {
  const page = await Deno.readTextFile(new URL("../../docs/sessions.md", import.meta.url));
  const rows = [...page.matchAll(/^\| `(\w+)` +\| (\w+) +\| (\w+) +\| (\w+) +\|$/gm)];
  const documented = Object.fromEntries(rows.map(([, type, ...verdicts]) => [type, verdicts]));
  const actual = Object.fromEntries(
    Object.entries(RULES).map(([type, rule]) => [type, STATES.map((state) => rule[state])]),
  );
  assert.deepEqual(documented, actual);
});

Deno.test("what is not in the table is passed over in every state", () => {
  for (const state of STATES) {
    for (const type of ["LOG", "JOB_COMPLETE", "TRAIN_JOB_START", "PEER_PROOF"] as const) {
      assert.equal(verdict(type, state), "ignore");
    }
  }
});
