/**
 * The first frames of a connection: who is there, to which group they belong, whether they may come in.
 *
 * Invariant: nothing of a connection is looked at before its `hello` was accepted, and that frame is at most
 * `HELLO_BYTES_MAX` long. Tokens are compared in constant time and never logged. A refusal says why, then closes.
 *
 * Integers are little-endian; a text is u32 length and UTF-8.
 *
 *   hello (frame type 1)            welcome (2)                     failure (3)
 *   offset  size                    offset  size                    offset  size
 *        0     1  1 client, 2 peer       0     1  replica                0     2  code
 *        1     1  sender's replica       1     1  replicas               2     n  text
 *        2     1  sender's replicas      2     4  longest payload
 *        3     n  text group             6     8  view
 *              m  text token            14     n  text group
 *
 * A client's replica and replicas are 255 and 0; its group may be empty. A peer's must fit the listener's.
 */
import { createHash, timingSafeEqual } from "node:crypto";
import { ByteReader, ByteWriter, WireError } from "./bytes.ts";

export const HELLO_BYTES_MAX = 8 * 1024;
const CLIENT = 1;
const PEER = 2;
const NOBODY = 255;

export interface Hello {
  /** Undefined for clients. */
  peer: { replica: number; replicas: number } | undefined;
  group: string;
  token: string;
}

export interface Welcome {
  replica: number;
  replicas: number;
  payloadBytesMax: number;
  view: number;
  group: string;
}

export const FailureCode = {
  protocol: 1,
  /** Token or certificate. */
  denied: 2,
  otherGroup: 3,
  busy: 4,
  stopping: 5,
} as const;

export interface Failure {
  code: number;
  text: string;
}

export function writeHello(writer: ByteWriter, { peer, group, token }: Hello): void {
  writer
    .u8(peer === undefined ? CLIENT : PEER)
    .u8(peer?.replica ?? NOBODY)
    .u8(peer?.replicas ?? 0);
  writer.text(group).text(token);
}

export function readHello(bytes: Uint8Array): Hello {
  const reader = new ByteReader(bytes);
  const kind = reader.u8();
  const peer = { replica: reader.u8(), replicas: reader.u8() };
  if (kind !== CLIENT && kind !== PEER) throw new WireError(`a hello of kind ${kind}`);
  const hello = { peer: kind === PEER ? peer : undefined, group: reader.text(), token: reader.text() };
  reader.end();
  return hello;
}

export function writeWelcome(writer: ByteWriter, welcome: Welcome): void {
  const { replica, replicas, payloadBytesMax, view, group } = welcome;
  writer.u8(replica).u8(replicas).u32(payloadBytesMax).u64(view).text(group);
}

export function readWelcome(bytes: Uint8Array): Welcome {
  const reader = new ByteReader(bytes);
  const welcome = {
    replica: reader.u8(),
    replicas: reader.u8(),
    payloadBytesMax: reader.u32(),
    view: reader.u64(),
    group: reader.text(),
  };
  reader.end();
  return welcome;
}

export function writeFailure(writer: ByteWriter, { code, text }: Failure): void {
  writer.u16(code).text(text);
}

export function readFailure(bytes: Uint8Array): Failure {
  const reader = new ByteReader(bytes);
  const failure = { code: reader.u16(), text: reader.text() };
  reader.end();
  return failure;
}

/** Compares without telling by its time where two tokens differ. */
export function isSameToken(given: string, wanted: string): boolean {
  const digest = (text: string) => createHash("sha256").update(text).digest();
  return timingSafeEqual(digest(given), digest(wanted));
}
