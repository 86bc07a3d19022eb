/**
 * What workers send each other over a link, each message a frame (wire/frame.ts). Big-endian.
 *
 *   type  name        sent by    body behind the u8 type
 *      0  hello       sender     u32 bytes, JSON: who, to whom, in which epoch, and the proof of the shared secret
 *      1  welcome     receiver   u64 number of the last message it has in this epoch
 *      2  ack         receiver   u64 number: everything up to it was processed
 *      3  batch       sender     u64 number, then items: u16 exchange, f64 event time, u32 key bytes, key, u32 bytes, record
 *      4  barrier     sender     u64 number, u16 exchange, u64 checkpoint
 *      5  watermark   sender     u64 number, u16 exchange, f64 event time
 *      6  congested   sender     u64 number, u8 1: sources must rest, 0: they may go on
 *      7  key-state   sender     u64 number, u16 step, u32 key bytes, key, u32 bytes, state
 *      8  key-end     sender     u64 number, u32 bytes, JSON: watermarks by step
 *
 * Invariant: numbers of one sender in one epoch go up by one, so a receiver sees at once what it has already.
 */
import { ByteReader, type ByteWriter, WireError } from "../wire/bytes.ts";

export const LinkType = {
  hello: 0,
  welcome: 1,
  ack: 2,
  batch: 3,
  barrier: 4,
  watermark: 5,
  congested: 6,
  keyState: 7,
  keyEnd: 8,
} as const;

/** Of a message that a worker takes from another one that has proven itself. */
export const LINK_BODY_BYTES_MAX = 64 << 20;
/** Of a record or a state with its key: what stands before it in its message fits too. */
const ITEM_BYTES_MAX = LINK_BODY_BYTES_MAX - (128 << 10);

/** Throws WireError: a message that the other side never takes would be sent again for ever. */
export function assertItemFits(what: string, bytes: number): void {
  if (bytes > ITEM_BYTES_MAX)
    throw new WireError(`${what} has ${bytes} bytes, and ${ITEM_BYTES_MAX} can go to another worker`);
}

export interface LinkHello {
  from: string;
  to: string;
  epoch: number;
  proof: string;
}

export type LinkMessage =
  | { type: "hello"; hello: LinkHello }
  | { type: "welcome"; number: number }
  | { type: "ack"; number: number }
  | { type: "batch"; number: number; items: ByteReader }
  | { type: "barrier"; number: number; exchange: number; checkpoint: number }
  | { type: "watermark"; number: number; exchange: number; timeMs: number }
  | { type: "congested"; number: number; isCongested: boolean }
  | { type: "keyState"; number: number; step: number; key: string; image: Uint8Array }
  | { type: "keyEnd"; number: number; watermarks: Record<string, number> };

/** A message that has a number. */
export type NumberedMessage = Exclude<LinkMessage, { type: "hello" | "welcome" | "ack" }>;

export function writeItem(
  writer: ByteWriter,
  item: { exchange: number; timeMs: number; key: string },
  write: () => void,
): void {
  writer.u16(item.exchange).f64(item.timeMs).text(item.key);
  writer.frame(write);
}

/** Anybody may say it. */
function readHello(text: string): LinkHello {
  const { from, to, epoch, proof } = (JSON.parse(text) ?? {}) as Partial<LinkHello>;
  if (
    typeof from !== "string" ||
    typeof to !== "string" ||
    typeof epoch !== "number" ||
    typeof proof !== "string"
  )
    throw new WireError("a hello says who, to whom, in which epoch, and the proof");
  return { from, to, epoch, proof };
}

/** Reads a frame's body. Items and images are views. Throws WireError. */
export function readLinkMessage(bytes: Uint8Array, start: number, end: number): LinkMessage {
  const reader = new ByteReader(bytes, start, end);
  const type = reader.u8();
  switch (type) {
    case LinkType.hello:
      return { type: "hello", hello: readHello(reader.text()) };
    case LinkType.welcome:
      return { type: "welcome", number: reader.u64() };
    case LinkType.ack:
      return { type: "ack", number: reader.u64() };
    case LinkType.batch:
      return { type: "batch", number: reader.u64(), items: reader };
    case LinkType.barrier:
      return { type: "barrier", number: reader.u64(), exchange: reader.u16(), checkpoint: reader.u64() };
    case LinkType.watermark:
      return { type: "watermark", number: reader.u64(), exchange: reader.u16(), timeMs: reader.f64() };
    case LinkType.congested:
      return { type: "congested", number: reader.u64(), isCongested: reader.u8() === 1 };
    case LinkType.keyState:
      return {
        type: "keyState",
        number: reader.u64(),
        step: reader.u16(),
        key: reader.text(),
        image: reader.bytes(),
      };
    case LinkType.keyEnd:
      return {
        type: "keyEnd",
        number: reader.u64(),
        watermarks: JSON.parse(reader.text()) as Record<string, number>,
      };
    default:
      throw new WireError(`there is no link message of type ${type}`);
  }
}
