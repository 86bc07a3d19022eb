/** Words of commands that several of them have. Names in refusals are the original's. */
import { parseCompression, type Compression } from "../formats/compression.ts";
import { BLOCK_BYTES, parseSize } from "../formats/units.ts";
import { Refusal } from "../server/server.ts";
import { type AddressPort, parseAddress } from "../wire/values.ts";

const BULK_BYTES = 256 << 10;
const BULK_BYTES_MAX = 4 << 20;

/** The bytes of a bulk. */
export function bulkOf(text: string | undefined): number {
  const bytes = text === undefined ? BULK_BYTES : parseSize(text);
  if (bytes === undefined || bytes < BLOCK_BYTES || bytes % BLOCK_BYTES !== 0 || bytes > BULK_BYTES_MAX)
    throw new Refusal(`bad bulk size:${text}`);
  return bytes;
}

export function flagOf(text: string | undefined): boolean {
  if (text !== undefined && text !== "0" && text !== "1") throw new Refusal(`bad flag:${text}`);
  return text === "1";
}

/** `HOST:PORT`. */
export function addressOf(text: string): AddressPort {
  const address = parseAddress(text);
  if (address === undefined) throw new Refusal(`bad address:${text}`);
  return address;
}

export function compressionOf(text: string | undefined, otherwise: Compression): Compression {
  const compression = text === undefined ? otherwise : parseCompression(text);
  if (compression === undefined) throw new Refusal(`parseCompressionType:wrong type:${text}`);
  return compression;
}

export function sizeOf(text: string | undefined, otherwise: number): number {
  const bytes = text === undefined ? otherwise : parseSize(text);
  if (bytes === undefined) throw new Refusal(`bad size:${text}`);
  return bytes;
}
