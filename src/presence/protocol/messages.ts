/**
 * The messages between clients and servers, all bodies of HTTP requests and replies. Integers are big-endian.
 *
 *   registration      epoch(4) ‖ records            its reply: error(1) ‖ next epoch(4)
 *   lookup            type(1) ‖ epoch(4) ‖ payload  its reply: status(1) ‖ epoch(4) ‖ payload
 *
 *   lookup type       payload                          reply when it worked         when not
 *   0xFF metadata     none                             see metadata.ts              0x00 ‖ epoch
 *   0xFE PIR          number of queries(2) ‖ queries   0x81 ‖ epoch ‖ answers       0x80 ‖ epoch
 *   0xFD database     none                             0x82 ‖ epoch ‖ data file     0x80 ‖ epoch
 *
 * Invariant: nothing here trusts a length that it was told; whatever the bytes are, the result is a value.
 */
import { concat, EPOCH_BYTES, epochBytes, viewOf } from "./bytes.ts";

export const RegistrationError = { ok: 0x00, short: 0x01, wrongEpoch: 0x02, badLength: 0x03 } as const;
export type RegistrationError = (typeof RegistrationError)[keyof typeof RegistrationError];

export const REGISTRATION_REPLY_BYTES = 1 + EPOCH_BYTES;

export function registrationReply(error: RegistrationError, nextEpoch: number): Uint8Array<ArrayBuffer> {
  return concat(Uint8Array.of(error), epochBytes(nextEpoch));
}

export const LookupType = { metadata: 0xff, pir: 0xfe, database: 0xfd } as const;
export type LookupType = (typeof LookupType)[keyof typeof LookupType];

export const ReplyStatus = { metadataError: 0x00, error: 0x80, answers: 0x81, database: 0x82 } as const;

export const LOOKUP_HEAD_BYTES = 1 + EPOCH_BYTES;
export const QUERY_COUNT_BYTES = 2;
export const QUERY_COUNT_MAX = 0xffff;

export interface LookupRequest {
  type: LookupType;
  epoch: number;
  /** Behind type and epoch. */
  payload: Uint8Array;
}

/** Undefined when the body is too short or its type unknown. */
export function decodeLookup(body: Uint8Array): LookupRequest | undefined {
  if (body.byteLength < LOOKUP_HEAD_BYTES) return undefined;
  const type = body[0] as LookupType;
  if (!Object.values(LookupType).includes(type)) return undefined;
  const payload = body.subarray(LOOKUP_HEAD_BYTES);
  if (type !== LookupType.pir && payload.byteLength > 0) return undefined;
  return { type, epoch: viewOf(body).getUint32(1), payload };
}

export function encodeLookup(
  type: LookupType,
  epoch: number,
  payload: Uint8Array = new Uint8Array(0),
): Uint8Array<ArrayBuffer> {
  return concat(Uint8Array.of(type), epochBytes(epoch), payload);
}

/** The reply to a request that cannot be answered: its first byte follows what was asked, if that can be told. */
export function errorReply(body: Uint8Array, epoch: number): Uint8Array<ArrayBuffer> {
  const isQuery = body[0] === LookupType.pir || body[0] === LookupType.database;
  const status = isQuery ? ReplyStatus.error : ReplyStatus.metadataError;
  return concat(Uint8Array.of(status), epochBytes(epoch));
}

export function replyHead(status: number, epoch: number): Uint8Array<ArrayBuffer> {
  return concat(Uint8Array.of(status), epochBytes(epoch));
}

/** `queries` are the queries behind each other. */
export function encodePirPayload(count: number, queries: Uint8Array): Uint8Array {
  return concat(Uint8Array.of(count >> 8, count & 0xff), queries);
}

/** The queries of a PIR payload, each `queryBytes` long; undefined unless there are exactly as many as it says. */
export function decodePirPayload(
  payload: Uint8Array,
  queryBytes: number,
): { count: number; queries: Uint8Array } | undefined {
  if (payload.byteLength < QUERY_COUNT_BYTES) return undefined;
  const count = viewOf(payload).getUint16(0);
  const queries = payload.subarray(QUERY_COUNT_BYTES);
  if (count === 0 || queries.byteLength !== count * queryBytes) return undefined;
  return { count, queries };
}
