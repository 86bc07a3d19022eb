/**
 * What clients of a group and its replicas say to each other, as payloads of frames.
 *
 * Invariant: as codec.ts: what is decoded is what was encoded, all else is a `WireError`.
 *
 * All integers are little-endian.
 *
 *   command (frame type 16)         result (17)                       query (18)
 *   offset  size                    offset  size                      offset  size
 *        0     8  session                0     8  session                  0     8  0
 *        8     8  number                 8     8  number                   8     8  number
 *       16     8  floor                 16     1  status                  16     n  body
 *       24     n  body                  17     8  view
 *                                       25     n  body
 *
 * A command of session 0 asks for a session: `number` is a coin by which the client knows the answer, whose body is the
 * session (u64). The result of a query has session 0 and the query's number. `view` tells where the primary is: replica
 * `view mod n`. The body of a result whose status is not `ok` is a text for people.
 */
import { ByteReader, ByteWriter, WireError } from "../wire/bytes.ts";
import type { Request } from "./types.ts";

export const ResultStatus = {
  ok: 0,
  /** Ask the primary of `view`; whether the command will be executed is unknown. */
  notPrimary: 1,
  /** The group has forgotten the session: whether commands without result were executed is unknown. */
  sessionExpired: 2,
  /** Below the floor that the client gave itself. */
  forgotten: 3,
  /** Nothing was done. */
  refused: 4,
  /** The answer to a query is longer than ANSWER_BYTES_MAX. */
  tooLong: 5,
} as const;
export type ResultStatus = (typeof ResultStatus)[keyof typeof ResultStatus];

const STATUS_MAX = 5;

/** Of a result's body: what is longer is not sent, because it would end the connection. */
export const ANSWER_BYTES_MAX = 63 << 20;

export interface Result {
  session: number;
  number: number;
  status: ResultStatus;
  view: number;
  body: Uint8Array;
}

/** Before a command's body; a query's is shorter. */
export const COMMAND_HEADER_BYTES = 24;

export interface Query {
  number: number;
  body: Uint8Array;
}

export function writeCommand(writer: ByteWriter, { session, number, floor, body }: Request): void {
  writer.u64(session).u64(number).u64(floor).raw(body);
}

export function readCommand(bytes: Uint8Array): Request {
  const reader = new ByteReader(bytes);
  const session = reader.u64();
  const number = reader.u64();
  const floor = reader.u64();
  return { session, number, floor, body: reader.ownRest() };
}

export function writeQuery(writer: ByteWriter, { number, body }: Query): void {
  writer.u64(0).u64(number).raw(body);
}

export function readQuery(bytes: Uint8Array): Query {
  const reader = new ByteReader(bytes);
  if (reader.u64() !== 0) throw new WireError("a query has no session");
  const number = reader.u64();
  return { number, body: reader.ownRest() };
}

export function writeResult(writer: ByteWriter, { session, number, status, view, body }: Result): void {
  writer.u64(session).u64(number).u8(status).u64(view).raw(body);
}

export function readResult(bytes: Uint8Array): Result {
  const reader = new ByteReader(bytes);
  const session = reader.u64();
  const number = reader.u64();
  const status = reader.u8();
  if (status > STATUS_MAX) throw new WireError(`there is no result status ${status}`);
  const view = reader.u64();
  return { session, number, status: status as ResultStatus, view, body: reader.ownRest() };
}
