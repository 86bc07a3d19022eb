/**
 * The connector protocol, version 0.0.1: sources that are acknowledged and may send again, sinks that commit in two phases.
 *
 * Each message is a frame (frame.ts); the body begins with its type. `short` is a u16 length and so many bytes.
 *
 *   type  name           sent by     body behind the type
 *      0  hello          program     short version, short cookie, short program, short instance
 *      1  ok             worker      u32 credits
 *      2  error          both        short text; the connection is closed
 *      3  notify         program     u64 stream, short name, u64 position
 *      4  notify-ack     worker      u8 accepted, u64 stream, u64 position to go on behind; 2^64-1: from the beginning
 *      5  message        program     u64 stream, u64 message, i64 event time, short key, the rest is the payload
 *      6  ack            worker      u32 credits, u32 count, count x (u64 stream, u64 position)
 *      7  restart        worker      u32 length, "host:port" or nothing for the same
 *      8  end-of-stream  program     u64 stream
 *      9  workers-left   worker      opaque (a sink's frame; two-phase.ts has the message that is used)
 *
 * At a sink the worker is the program and the sink process the worker of this table.
 *
 * Invariant: a frame is read to its last byte or refused. Every frame that the program sends costs one credit.
 */
import { ByteReader, ByteWriter, WireError } from "./bytes.ts";

export const CONNECTOR_VERSION = "0.0.1";

const Type = {
  hello: 0,
  ok: 1,
  error: 2,
  notify: 3,
  notifyAck: 4,
  message: 5,
  ack: 6,
  restart: 7,
  endOfStream: 8,
  workersLeft: 9,
} as const;

/** On the wire: nothing was ever acknowledged. */
const NOWHERE = 0xffff_ffff_ffff_ffffn;

/** A stream's progress: the last message that is acknowledged, undefined when there is none. */
export interface StreamPosition {
  streamId: bigint;
  position: number | undefined;
}

export interface ConnectorMessage {
  type: "message";
  streamId: bigint;
  /** Increases within a stream: a counter, or a byte offset. */
  messageId: number;
  eventTimeNs: bigint;
  /** Both are views into what was read from. */
  key: Uint8Array;
  payload: Uint8Array;
}

export type ConnectorFrame =
  | { type: "hello"; version: string; cookie: string; program: string; instance: string }
  | { type: "ok"; credits: number }
  | { type: "error"; text: string }
  | { type: "notify"; streamId: bigint; name: string; position: number }
  | ({ type: "notifyAck"; isAccepted: boolean } & StreamPosition)
  | ConnectorMessage
  | { type: "ack"; credits: number; positions: StreamPosition[] }
  | { type: "restart"; address: string }
  | { type: "endOfStream"; streamId: bigint }
  | { type: "workersLeft"; body: Uint8Array };

function writePosition(writer: ByteWriter, { streamId, position }: StreamPosition): void {
  writer.big(streamId);
  if (position === undefined) writer.big(NOWHERE);
  else writer.u64(position);
}

function readPosition(reader: ByteReader): StreamPosition {
  const streamId = reader.big();
  const position = reader.big();
  if (position === NOWHERE) return { streamId, position: undefined };
  if (position > BigInt(Number.MAX_SAFE_INTEGER)) throw new WireError("a position is beyond 2^53");
  return { streamId, position: Number(position) };
}

/** Appends a whole frame. */
export function writeConnectorFrame(writer: ByteWriter, frame: ConnectorFrame): void {
  writer.frame(() => {
    writer.u8(Type[frame.type]);
    switch (frame.type) {
      case "hello":
        writer.short(frame.version).short(frame.cookie).short(frame.program).short(frame.instance);
        break;
      case "ok":
        writer.u32(frame.credits);
        break;
      case "error":
        writer.short(frame.text);
        break;
      case "notify":
        writer.big(frame.streamId).short(frame.name).u64(frame.position);
        break;
      case "notifyAck":
        writer.u8(frame.isAccepted ? 1 : 0);
        writePosition(writer, frame);
        break;
      case "message":
        writer.big(frame.streamId).u64(frame.messageId).big(frame.eventTimeNs);
        writer.short(frame.key).raw(frame.payload);
        break;
      case "ack":
        writer.u32(frame.credits).u32(frame.positions.length);
        for (const position of frame.positions) writePosition(writer, position);
        break;
      case "restart":
        writer.text(frame.address);
        break;
      case "endOfStream":
        writer.big(frame.streamId);
        break;
      case "workersLeft":
        writer.raw(frame.body);
        break;
    }
  });
}

/** One whole frame. */
export function connectorFrame(frame: ConnectorFrame): Uint8Array<ArrayBuffer> {
  const writer = new ByteWriter();
  writeConnectorFrame(writer, frame);
  return writer.done();
}

/** Reads a frame's body from `start` to `end`. Throws WireError. */
export function readConnectorFrame(bytes: Uint8Array, start = 0, end = bytes.byteLength): ConnectorFrame {
  const reader = new ByteReader(bytes, start, end);
  const frame = readBody(reader);
  reader.end();
  return frame;
}

function readBody(reader: ByteReader): ConnectorFrame {
  const type = reader.u8();
  switch (type) {
    case Type.hello:
      return {
        type: "hello",
        version: reader.short(),
        cookie: reader.short(),
        program: reader.short(),
        instance: reader.short(),
      };
    case Type.ok:
      return { type: "ok", credits: reader.u32() };
    case Type.error:
      return { type: "error", text: reader.short() };
    case Type.notify:
      return { type: "notify", streamId: reader.big(), name: reader.short(), position: reader.u64() };
    case Type.notifyAck:
      return { type: "notifyAck", isAccepted: readFlag(reader), ...readPosition(reader) };
    case Type.message:
      return {
        type: "message",
        streamId: reader.big(),
        messageId: reader.u64(),
        eventTimeNs: BigInt.asIntN(64, reader.big()),
        key: reader.shortBytes(),
        payload: reader.rest(),
      };
    case Type.ack: {
      const credits = reader.u32();
      const positions = Array.from({ length: reader.count(16) }, () => readPosition(reader));
      return { type: "ack", credits, positions };
    }
    case Type.restart:
      return { type: "restart", address: reader.text() };
    case Type.endOfStream:
      return { type: "endOfStream", streamId: reader.big() };
    case Type.workersLeft:
      return { type: "workersLeft", body: reader.rest() };
    default:
      throw new WireError(`there is no connector frame of type ${type}`);
  }
}

export function readFlag(reader: ByteReader): boolean {
  const flag = reader.u8();
  if (flag > 1) throw new WireError(`a flag is 0 or 1, not ${flag}`);
  return flag === 1;
}
