/**
 * Messages of the neo protocol, as TypeScript sees them: the handshake's on both sides, and all of them for the client.
 *
 *   u8 type (1 request, 2 authentication) | u64 body length | u8 parity: XOR of the nine bytes before | body
 *
 * Integers are little-endian. A request's body is its u64 id and the payload.
 */
export const MessageType = { request: 1, authentication: 2 } as const;
/** The first byte that both sides send. */
export const PROTOCOL_VERSION = 1;

export const HEADER_BYTES = 10;
/** A longer authentication message ends the connection. */
export const AUTHENTICATION_BYTES_MAX = 999;

const parityOf = (header: Uint8Array) => {
  let parity = 0;
  for (let index = 0; index < HEADER_BYTES - 1; index++) parity ^= header[index] as number;
  return parity;
};

/** One message with these parts as its body. */
export function message(type: number, ...parts: Uint8Array[]): Buffer {
  const length = parts.reduce((sum, part) => sum + part.byteLength, 0);
  const header = Buffer.alloc(HEADER_BYTES);
  header[0] = type;
  header.writeBigUInt64LE(BigInt(length), 1);
  header[HEADER_BYTES - 1] = parityOf(header);
  return Buffer.concat([header, ...parts]);
}

/** Type and body length that a header announces; undefined when it is none. */
export function readHeader(header: Buffer): { type: number; length: number } | undefined {
  const type = header[0] as number;
  if (parityOf(header) !== header[HEADER_BYTES - 1]) return undefined;
  const length = header.readBigUInt64LE(1);
  return length > 2n ** 40n ? undefined : { type, length: Number(length) };
}

export const u64 = (value: bigint): Buffer => {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64LE(value);
  return bytes;
};

export const array = (content: Uint8Array | string): Buffer => {
  const bytes = typeof content === "string" ? Buffer.from(content, "latin1") : content;
  return Buffer.concat([u64(BigInt(bytes.byteLength)), bytes]);
};
