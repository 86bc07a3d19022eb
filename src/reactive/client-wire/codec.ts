/**
 * Messages of the client protocol as bytes, the same on both carriers:
 *
 *   WebSocket   one binary message per message, subprotocol `node-x.v1` (optional). Text messages are refused.
 *   TCP         one frame (wire/frame.ts) of type 48 per message; the frame adds length, version and checksum. A TCP
 *               connection begins with the family's handshake (wire/handshake.ts, group "frontend", no token), then `hello`.
 *
 * Binary and not JSON: values go from the shard to the client as they are stored, never parsed in between.
 *
 * Invariant: what is decoded is what was encoded; all else is a `WireError`, before anything of an announced length is
 * allocated. Nothing that is decoded shares memory with what it was decoded from.
 *
 * A message: type u8, then its fields. Integers are little-endian; u64 hold at most 2^53 - 1; bytes and text (UTF-8) are u32
 * length and content; keys are u32 count and bytes each.
 *
 *   level        u8: 0 read committed, 1 snapshot isolation, 2 strict; 255: none named
 *   version      start u64; end u64; type u8; value bytes (the encoding of native/versions/versions.h)
 *   id           client u64; number u64
 *
 * Types 1 to 63 are sent by clients (from-client.ts), 65 to 127 by frontends (from-frontend.ts).
 */
import { ByteReader, ByteWriter } from "../wire/bytes.ts";
import { readClientMessage, writeClientMessage } from "./from-client.ts";
import { readServerMessage, serverMessageBytes, writeServerMessage } from "./from-frontend.ts";
import type { ClientMessage, ServerMessage } from "./messages.ts";

/** Throws WireError; `bytes` may be any view, also one that is reused afterwards. */
export function decodeClientMessage(bytes: Uint8Array): ClientMessage {
  const reader = new ByteReader(bytes);
  const message = readClientMessage(reader, reader.u8());
  reader.end();
  return message;
}

/** Throws WireError. */
export function decodeServerMessage(bytes: Uint8Array): ServerMessage {
  const reader = new ByteReader(bytes);
  const message = readServerMessage(reader, reader.u8());
  reader.end();
  return message;
}

export function encodeClientMessage(message: ClientMessage): Uint8Array<ArrayBuffer> {
  const writer = new ByteWriter();
  writeClientMessage(writer, message);
  return writer.done();
}

export function encodeServerMessage(message: ServerMessage): Uint8Array<ArrayBuffer> {
  const writer = new ByteWriter(serverMessageBytes(message));
  writeServerMessage(writer, message);
  return writer.done();
}
