import assert from "node:assert/strict";
import { connectTo } from "../../client/connect.ts";
import { ConnectionError } from "../../rtc/transfer_error.ts";
import type { SignalingClient } from "../../signaling/client.ts";

Deno.test("connect: when signaling is away the error comes at once, and no rejection is left unhandled", async () => {
  const late = Promise.withResolvers<never>();
  const signaling = {
    iceServers: [],
    peerId: "me",
    send: (): boolean => false,
    next: (): Promise<never> => late.promise,
    discover: (): Promise<never[]> => Promise.resolve([]),
  } as unknown as SignalingClient;
  let unhandled: unknown;
  const note = (event: PromiseRejectionEvent): void => {
    event.preventDefault();
    unhandled = event.reason;
  };
  globalThis.addEventListener("unhandledrejection", note);
  try {
    const connecting = connectTo(
      signaling,
      "worker",
      { timeoutMs: 1_000, roomSecret: undefined, iceServers: [], relayOnly: false, onInfo: () => {} },
      new AbortController().signal,
    );
    await assert.rejects(connecting, ConnectionError);
    late.reject(new Error("no answer within 1 s"));
    await new Promise((resolve) => setTimeout(resolve, 0));
    await new Promise((resolve) => setTimeout(resolve, 0));
    assert.equal(unhandled, undefined);
  } finally {
    globalThis.removeEventListener("unhandledrejection", note);
  }
});
