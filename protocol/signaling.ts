/** What peers and the signaling server say to each other over HTTP and WebSocket. Source: PROTOCOL.md sections 2-9. */
import { z } from "zod";
import { jobNotedSchema, jobOfferSchema, jobReleaseSchema, jobStateSchema } from "./queue.ts";
import { MAX_RELAY_CHARS, relayPublicKeySchema } from "./relay.ts";

/** What a worker tells of its state. */
export type WorkerStatus = "available" | "reserved" | "busy" | "maintenance";

/** What a peer tells about itself; unknown keys are kept. */
export const metadataSchema = z.looseObject({
  tags: z.array(z.string()).optional(),
  properties: z.record(z.string(), z.unknown()).optional(),
});
/** Tags and properties of a peer. */
export type Metadata = z.infer<typeof metadataSchema>;

/** One entry of `ice_servers`: no other key, or the Python client fails to connect (PROTOCOL.md section 3.2). */
export const iceServerSchema = z.object({
  urls: z.union([z.string(), z.array(z.string())]),
  username: z.string().optional(),
  credential: z.string().optional(),
  credentialType: z.string().optional(),
});
/** A STUN or TURN server. */
export type IceServer = z.infer<typeof iceServerSchema>;

/** Answer of `POST /anonymous-signin`. */
export const signInSchema = z.object({ id_token: z.string().min(1), username: z.string().min(1) });

/** Answer of `POST /create-room`. */
export const createdRoomSchema = z.object({ room_id: z.string().min(1), token: z.string().min(1) });

/** A peer as discovery shows it. */
export const peerInfoSchema = z.looseObject({
  peer_id: z.string(),
  role: z.string().nullish(),
  metadata: metadataSchema.nullish(),
});
/** A peer as discovery shows it. */
export type PeerInfo = z.infer<typeof peerInfoSchema>;

/**
 * What our peers add to an offer or an answer, relayed unchanged and ignored by Python peers.
 * Its presence says that the other side is this program; `features` what it can do beyond PROTOCOL.md.
 */
export const extensionSchema = z.object({
  version: z.string(),
  features: z.array(z.string()),
  /** Made by the client for each offer; the answer has the same, so that the two are told to belong together. */
  attempt: z.string().max(64).optional().catch(undefined),
  /** How far apart the two are, as far as the client knows: tunes the connection that is offered. */
  distance: z.enum(["near", "far"]).optional().catch(undefined),
  /** `look`: the client begins no job; it asks for jobs that are there, also while the worker is busy. */
  purpose: z.enum(["job", "look"]).optional().catch(undefined),
  /** Public key for a channel over the signaling server; without it there is none. */
  relay: relayPublicKeySchema.optional().catch(undefined),
});
/** See {@link extensionSchema}. */
export type Extension = z.infer<typeof extensionSchema>;

/** What peer and server add to `register` and `registered_auth`: what they know beyond PROTOCOL.md. */
export const knowledgeSchema = z.object({
  version: z.string().max(64),
  features: z.array(z.string().max(64)).max(64),
});

const descriptionFields = {
  sender: z.string(),
  target: z.string(),
  sdp: z.string(),
  sleap_rtc: extensionSchema.optional().catch(undefined),
};

/** An offer, from client to worker. */
export const offerSchema = z.looseObject({ type: z.literal("offer"), ...descriptionFields });
/** See {@link offerSchema}. */
export type Offer = z.infer<typeof offerSchema>;

/** An answer, from worker to client. */
export const answerSchema = z.looseObject({ type: z.literal("answer"), ...descriptionFields });
/** See {@link answerSchema}. */
export type Answer = z.infer<typeof answerSchema>;

/** What a server can send to a peer, as far as this program acts on it. */
export const serverMessageSchema = z.discriminatedUnion("type", [
  offerSchema,
  answerSchema,
  z.looseObject({
    type: z.literal("registered_auth"),
    room_id: z.string(),
    token: z.string(),
    peer_id: z.string(),
    peer_metadata: z.record(z.string(), metadataSchema.nullish()).optional().catch(undefined),
    ice_servers: z.array(iceServerSchema).optional().catch(undefined),
    sleap_rtc: knowledgeSchema.optional().catch(undefined),
  }),
  z.looseObject({ type: z.literal("peer_list"), peers: z.array(peerInfoSchema) }),
  z.looseObject({ type: z.literal("metadata_updated"), peer_id: z.string() }),
  z.looseObject({
    type: z.literal("peer_message"),
    from_peer_id: z.string(),
    payload: z.record(z.string(), z.unknown()),
  }),
  z.object({
    type: z.literal("relay"),
    sender: z.string(),
    target: z.string(),
    data: z.string().max(MAX_RELAY_CHARS),
  }),
  z.looseObject({
    type: z.literal("error"),
    reason: z.string().optional(),
    code: z.string().optional(),
    message: z.string().optional(),
    /** The peer that a `relay` message did not reach; ours. */
    relay: z.string().optional().catch(undefined),
  }),
  jobStateSchema,
  jobOfferSchema,
  jobReleaseSchema,
  jobNotedSchema,
  z.looseObject({ type: z.literal("quit") }),
]);
/** See {@link serverMessageSchema}. */
export type ServerMessage = z.infer<typeof serverMessageSchema>;
