/**
 * What one stranger may ask of a server. The defaults let a laboratory with two thousand peers behind one address
 * work, and keep one address from filling the server.
 */
export interface Limits {
  /** Largest message of a peer, in bytes. */
  messageBytes: number;
  /** Messages a second that a connection may send for long; relayed data has a pace of its own. */
  messageRate: number;
  /** Messages that it may send at once; a message counts once, and once more for every 16 KiB. */
  messageBurst: number;
  /** Peers in one room. */
  peersPerRoom: number;
  /** Rooms that one address may create in an hour. */
  roomsPerAddress: number;
  /** Sign-ins of one address in an hour. */
  signInsPerAddress: number;
  /** WebSockets of one address at a time. */
  connectionsPerAddress: number;
  /** WebSockets of all addresses at a time. */
  connections: number;
  /** Seconds within which a WebSocket registers. */
  registerTimeout: number;
  /** Seconds without an answer to a ping after which a WebSocket is closed; 0 for never. */
  idleTimeout: number;
}

/** Unless told otherwise. */
export const DEFAULT_LIMITS: Readonly<Limits> = {
  // What the Python peers accept. Source: PROTOCOL.md section 3.
  messageBytes: 1024 * 1024,
  messageRate: 200,
  messageBurst: 20_000,
  peersPerRoom: 256,
  roomsPerAddress: 500,
  signInsPerAddress: 10_000,
  connectionsPerAddress: 4_000,
  connections: 10_000,
  registerTimeout: 60,
  // A Python worker answers no ping while it packs, which takes minutes. Source: PROTOCOL.md section 3.4.
  idleTimeout: 600,
};

/** Names of the limits in logs and metrics. */
export type LimitName =
  | "message_bytes"
  | "message_rate"
  | "unread_messages"
  | "peers_per_room"
  | "rooms_per_address"
  | "sign_ins_per_address"
  | "connections_per_address"
  | "connections"
  | "register_timeout"
  | "admin_attempts";
