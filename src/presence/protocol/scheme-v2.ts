/**
 * Version 2, the later prototype without its pairings: the keys of version 1, AES-128-GCM with a nonce of zeros.
 *
 * For compatibility only. The nonce is safe as long as a pair seals one status per epoch; sealing a second, different
 * one under the same key would break it, which is why version 3 derives its nonce.
 */
import { concat, epochBytes } from "./bytes.ts";
import { GCM_NONCE_BYTES, GCM_TAG_BYTES } from "./primitives.ts";
import type { PairContext, PairKeys, Scheme } from "./scheme.ts";
import { legacyId, legacyPairKeys, schemeV1 } from "./scheme-v1.ts";

const NONCE = new Uint8Array(GCM_NONCE_BYTES);

const aadOf = (keys: PairKeys, { epoch, readerPub }: PairContext) =>
  concat(epochBytes(epoch), readerPub, keys.secretId);

export function schemeV2(payloadBytes: number): Scheme {
  const sealedBytes = payloadBytes + GCM_TAG_BYTES;
  return {
    version: 2,
    idBytes: schemeV1.idBytes,
    prfKeyBytes: 8,
    payloadBytes,
    sealedBytes,
    recordBytes: schemeV1.idBytes + sealedBytes,
    countMax: 0xffff_ffff,
    pairSecret: schemeV1.pairSecret,
    pairKeys: legacyPairKeys,
    idOf: legacyId,
    seal: (primitives, keys, context, payload) =>
      primitives.gcmSeal(keys.dataKey, NONCE, aadOf(keys, context), payload),
    open: (primitives, keys, context, sealed) =>
      primitives.gcmOpen(keys.dataKey, NONCE, aadOf(keys, context), sealed),
  };
}
