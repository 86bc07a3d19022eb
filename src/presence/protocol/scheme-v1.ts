/**
 * Version 1, byte for byte what the seed speaks: 80-bit ids, one AES-128 block, no authentication of the status.
 *
 * For compatibility only: a lying server can alter a status without anyone noticing. A record has 26 bytes.
 */
import { concat, epochBytes } from "./bytes.ts";
import type { Primitives } from "./primitives.ts";
import type { PairContext, PairKeys, Scheme } from "./scheme.ts";

const KEY_BYTES = 10;
const BLOCK_BYTES = 16;
const LABEL_PAIR = Uint8Array.of(0x00);
const LABEL_ID = Uint8Array.of(0x01);

/** `SHA-256(0x00 ‖ epoch ‖ announcer ‖ secret)`: bytes 0-9 are the secret id, bytes 16-31 the data key. */
export function legacyPairKeys(
  primitives: Primitives,
  pairSecret: Uint8Array,
  { epoch, announcerPub }: PairContext,
): PairKeys {
  const digest = primitives.sha256(concat(LABEL_PAIR, epochBytes(epoch), announcerPub, pairSecret));
  const secretId = digest.slice(0, KEY_BYTES);
  return { secretId, id: legacyId(primitives, secretId, epoch), dataKey: digest.slice(16, 32) };
}

/** The first 10 bytes of `SHA-256(0x01 ‖ epoch ‖ secret id)`. */
export function legacyId(primitives: Primitives, secretId: Uint8Array, epoch: number): Uint8Array {
  return primitives.sha256(concat(LABEL_ID, epochBytes(epoch), secretId)).slice(0, KEY_BYTES);
}

export const schemeV1: Scheme = {
  version: 1,
  idBytes: KEY_BYTES,
  prfKeyBytes: 8,
  payloadBytes: BLOCK_BYTES,
  sealedBytes: BLOCK_BYTES,
  recordBytes: KEY_BYTES + BLOCK_BYTES,
  countMax: 0xffff,
  pairSecret: (_primitives, sharedSecret) => sharedSecret,
  pairKeys: legacyPairKeys,
  idOf: legacyId,
  seal: (primitives, keys, _context, payload) => primitives.aesEncryptBlock(keys.dataKey, payload),
  open: (primitives, keys, _context, sealed) => primitives.aesDecryptBlock(keys.dataKey, sealed),
};
