/**
 * How version 3 seals a status: AES-256-GCM under a nonce that is derived from the status itself.
 *
 * Invariant: equal inputs give equal bytes, so two devices of one user register the same record; different statuses
 * under one key get different nonces, so neither sealing breaks the other.
 *
 *   offset  size
 *        0    12  nonce: HMAC-SHA256(nonce key, associated data ‖ status), first 12 bytes
 *       12     n  ciphertext
 *   12 + n    16  tag
 */
import { concat } from "./bytes.ts";
import { GCM_NONCE_BYTES, GCM_TAG_BYTES, type Primitives } from "./primitives.ts";

export const SEALING_BYTES = GCM_NONCE_BYTES + GCM_TAG_BYTES;
/** 32 bytes for AES, 32 for the nonce. */
export const SEALING_KEY_BYTES = 64;

export function sealStatus(
  primitives: Primitives,
  key: Uint8Array,
  aad: Uint8Array,
  payload: Uint8Array,
): Uint8Array {
  const nonce = primitives.hmacSha256(key.subarray(32), aad, payload).slice(0, GCM_NONCE_BYTES);
  return concat(nonce, primitives.gcmSeal(key.subarray(0, 32), nonce, aad, payload));
}

export function openStatus(
  primitives: Primitives,
  key: Uint8Array,
  aad: Uint8Array,
  sealed: Uint8Array,
): Uint8Array | undefined {
  const nonce = sealed.subarray(0, GCM_NONCE_BYTES);
  return primitives.gcmOpen(key.subarray(0, 32), nonce, aad, sealed.subarray(GCM_NONCE_BYTES));
}

/** HKDF-Expand with SHA-256 (RFC 5869). */
export function expand(
  primitives: Primitives,
  secret: Uint8Array,
  info: Uint8Array,
  length: number,
): Uint8Array {
  const out = new Uint8Array(length);
  let block: Uint8Array = new Uint8Array(0);
  for (let at = 0, counter = 1; at < length; at += 32, counter++) {
    block = primitives.hmacSha256(secret, block, info, Uint8Array.of(counter));
    out.set(block.subarray(0, Math.min(32, length - at)), at);
  }
  return out;
}
