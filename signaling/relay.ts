import { printable } from "../protocol/printable.ts";
import type { ServerMessage } from "../protocol/signaling.ts";
import type { RelayPath } from "../rtc/relay_carrier.ts";
import type { SignalingClient } from "./client.ts";

/**
 * The way to a peer of the room through the signaling server, for a `RelayCarrier`. It is lost with the socket: what
 * was under way then is not sent again, though the client comes back by itself.
 */
export function relayPath(signaling: SignalingClient, peerId: string): RelayPath {
  return {
    send: (data) => signaling.send({ type: "relay", sender: signaling.peerId, target: peerId, data }),
    onData: (callback) =>
      signaling.listen((message) => {
        if (message.type === "relay" && message.sender === peerId) callback(message.data);
      }),
    onLost: (callback) => {
      const stopFailures = signaling.listen((message) => {
        const reason = relayFailure(message, peerId);
        if (reason !== undefined) callback(reason);
      });
      const stopGone = signaling.listenGone(() => callback("the connection to the signaling server is lost"));
      return () => {
        stopFailures();
        stopGone();
      };
    },
  };
}

/** Why the server did not relay to a peer; undefined for a message about something else. */
function relayFailure(message: ServerMessage, peerId: string): string | undefined {
  if (message.type !== "error") return undefined;
  // The Python server. Nothing else that this program sends is unknown to one.
  if (message.code === "UNKNOWN_MESSAGE_TYPE") return "the signaling server does not know how to relay data";
  if (message.relay !== peerId) return undefined;
  return `the signaling server did not relay: ${
    printable(message.message ?? message.code ?? "no reason given")
  }`;
}
