/** The thread that compresses and hashes for a storage: what it ships and compares never waits on the event loop. */
import { serveCalls } from "../../core/threads/thread-calls.ts";
import { murmur3Chunks } from "../../native/blocks.ts";
import { StreamFramer } from "../../native/ship.ts";

export type FrameRequest =
  | { kind: "packs"; bytes: Uint8Array; physicalBytes: number; salt: number; lsid: bigint }
  | { kind: "bulks"; bytes: Uint8Array; bulkBytes: number; codec: number; level: number }
  | { kind: "hashes"; bytes: Uint8Array; bulkBytes: number; seed: number };

/** `taken`: bytes of the request that the framed ones stand for; -1 when they are no log. */
export interface FrameReply {
  framed: Uint8Array;
  taken: number;
}

const framer = new StreamFramer();
const NONE = new Uint8Array(0);

function answer(request: FrameRequest): FrameReply {
  const { bytes } = request;
  switch (request.kind) {
    case "packs":
      return framer.packs(bytes, request) ?? { framed: NONE, taken: -1 };
    case "bulks":
      return {
        framed: framer.bulks(bytes, request.bulkBytes, request.codec, request.level),
        taken: bytes.byteLength,
      };
    case "hashes":
      return { framed: murmur3Chunks(bytes, request.bulkBytes, request.seed), taken: bytes.byteLength };
  }
}

serveCalls((request: FrameRequest) => {
  const reply = answer(request);
  return { reply, transfer: [reply.framed.buffer as ArrayBuffer] };
});
