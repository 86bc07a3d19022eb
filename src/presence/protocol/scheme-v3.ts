/**
 * Version 3 with a record for each friend: 128-bit ids, keys by HKDF-SHA256, sealed statuses.
 *
 *   pair secret  = HKDF-Extract("node-x presence v3", X25519 secret ‖ pre-shared secret)
 *   key material = HKDF-Expand(pair secret, "pair" ‖ epoch ‖ announcer ‖ reader, 80 bytes)
 *                  0-15 secret id, 16-79 sealing key
 *   id           = SHA-256("node-x presence v3 id" ‖ epoch ‖ secret id), first 16 bytes
 */
import { concat, epochBytes, utf8 } from "./bytes.ts";
import type { Primitives } from "./primitives.ts";
import type { PairContext, PairKeys, Scheme } from "./scheme.ts";
import { expand, openStatus, SEALING_BYTES, SEALING_KEY_BYTES, sealStatus } from "./sealing.ts";

export const ID_BYTES = 16;
const SALT = utf8("node-x presence v3");
const LABEL_PAIR = utf8("pair");
const LABEL_ID = utf8("node-x presence v3 id");

function idOf(primitives: Primitives, secretId: Uint8Array, epoch: number): Uint8Array {
  return primitives.sha256(concat(LABEL_ID, epochBytes(epoch), secretId)).slice(0, ID_BYTES);
}

function pairKeys(primitives: Primitives, pairSecret: Uint8Array, context: PairContext): PairKeys {
  const { epoch, announcerPub, readerPub } = context;
  const info = concat(LABEL_PAIR, epochBytes(epoch), announcerPub, readerPub);
  const material = expand(primitives, pairSecret, info, ID_BYTES + SEALING_KEY_BYTES);
  const secretId = material.slice(0, ID_BYTES);
  return { secretId, id: idOf(primitives, secretId, epoch), dataKey: material.slice(ID_BYTES) };
}

const aadOf = (keys: PairKeys, { epoch }: PairContext) => concat(epochBytes(epoch), keys.id);

export function schemeV3(payloadBytes: number): Scheme {
  const sealedBytes = payloadBytes + SEALING_BYTES;
  return {
    version: 3,
    idBytes: ID_BYTES,
    prfKeyBytes: 16,
    payloadBytes,
    sealedBytes,
    recordBytes: ID_BYTES + sealedBytes,
    countMax: 0xffff_ffff,
    pairSecret: (primitives, sharedSecret, preShared) =>
      primitives.hmacSha256(SALT, sharedSecret, preShared ?? new Uint8Array(0)),
    pairKeys,
    idOf,
    seal: (primitives, keys, context, payload) =>
      sealStatus(primitives, keys.dataKey, aadOf(keys, context), payload),
    open: (primitives, keys, context, sealed) =>
      openStatus(primitives, keys.dataKey, aadOf(keys, context), sealed),
  };
}
