/**
 * The combined mode of version 3: one record per user, under a key that is blinded anew in each epoch.
 *
 * A user's public key P = a·B (Ed25519). In epoch E everyone who knows P derives the scalar h and the blinded key
 * P_E = h·P; the holder of a signs with h·a. So friends find the record from P alone, nobody without P can link the
 * keys of two epochs, and nobody without a can make a record that stands under P_E. (Tor's onion services, version 3,
 * blind their keys the same way.)
 *
 *   h           = SHA-512("node-x presence v3 blind" ‖ E ‖ P) mod L
 *   id          = SHA-256("node-x presence v3 combined id" ‖ E ‖ P_E), first 16 bytes
 *   sealing key = HKDF-Expand(HKDF-Extract("node-x presence v3", P), "combined" ‖ E, 64 bytes)
 *
 * A registration's signature covers "node-x presence v3 status" ‖ E ‖ P_E ‖ sealed status, and is an ordinary Ed25519
 * signature under P_E.
 */
import { ed25519 } from "@noble/curves/ed25519.js";
import { concat, epochBytes, utf8 } from "./bytes.ts";
import type { Primitives } from "./primitives.ts";
import { ID_BYTES } from "./scheme-v3.ts";
import { expand, openStatus, SEALING_KEY_BYTES, sealStatus } from "./sealing.ts";

export const BLINDED_KEY_BYTES = 32;
export const SIGNATURE_BYTES = 64;

const LABEL_BLIND = utf8("node-x presence v3 blind");
const LABEL_ID = utf8("node-x presence v3 combined id");
const LABEL_SIGNED = utf8("node-x presence v3 status");
const LABEL_NONCE = utf8("node-x presence v3 nonce");
const SALT = utf8("node-x presence v3");
const LABEL_KEY = utf8("combined");

const { Point } = ed25519;
const ORDER = Point.Fn.ORDER;

function littleEndian(bytes: Uint8Array): bigint {
  let value = 0n;
  for (let index = bytes.byteLength - 1; index >= 0; index--)
    value = (value << 8n) | BigInt(bytes[index] as number);
  return value;
}

function scalarBytes(scalar: bigint): Uint8Array {
  const bytes = new Uint8Array(32);
  for (let index = 0, rest = scalar; index < 32; index++, rest >>= 8n) bytes[index] = Number(rest & 0xffn);
  return bytes;
}

function blindingScalar(primitives: Primitives, epoch: number, publicKey: Uint8Array): bigint {
  const digest = primitives.sha512(concat(LABEL_BLIND, epochBytes(epoch), publicKey));
  // Zero has no chance; one stands for it so that the scalar is always a unit.
  return littleEndian(digest) % ORDER || 1n;
}

/** P_E. Throws when `publicKey` is no point. Check it once with `isGroupKey` where it comes from. */
export function blindPublicKey(primitives: Primitives, publicKey: Uint8Array, epoch: number): Uint8Array {
  const point = Point.fromBytes(publicKey);
  // In variable time: point and scalar are known to every friend, and only a friend's own machine works on them.
  return point.multiplyUnsafe(blindingScalar(primitives, epoch, publicKey)).toBytes();
}

/** A public or blinded key to accept: a canonical point of the prime-order group, and not its identity. */
export function isGroupKey(bytes: Uint8Array): boolean {
  try {
    const point = Point.fromBytes(bytes);
    return !point.is0() && point.isTorsionFree();
  } catch {
    return false;
  }
}

export function combinedId(primitives: Primitives, blindedKey: Uint8Array, epoch: number): Uint8Array {
  return primitives.sha256(concat(LABEL_ID, epochBytes(epoch), blindedKey)).slice(0, ID_BYTES);
}

/** What friends, and nobody else, seal and open statuses with. */
export interface CombinedKeys {
  blindedKey: Uint8Array;
  id: Uint8Array;
  sealingKey: Uint8Array;
}

export function combinedKeys(primitives: Primitives, publicKey: Uint8Array, epoch: number): CombinedKeys {
  const blindedKey = blindPublicKey(primitives, publicKey, epoch);
  const secret = primitives.hmacSha256(SALT, publicKey);
  const info = concat(LABEL_KEY, epochBytes(epoch));
  return {
    blindedKey,
    id: combinedId(primitives, blindedKey, epoch),
    sealingKey: expand(primitives, secret, info, SEALING_KEY_BYTES),
  };
}

const aadOf = (keys: CombinedKeys, epoch: number) => concat(epochBytes(epoch), keys.blindedKey);

export function openCombined(
  primitives: Primitives,
  keys: CombinedKeys,
  epoch: number,
  sealed: Uint8Array,
): Uint8Array | undefined {
  return openStatus(primitives, keys.sealingKey, aadOf(keys, epoch), sealed);
}

const signedBytes = (epoch: number, blindedKey: Uint8Array, sealed: Uint8Array) =>
  concat(LABEL_SIGNED, epochBytes(epoch), blindedKey, sealed);

/** The body of a registration behind its epoch: `P_E ‖ sealed status ‖ signature`. `seed` is the private key. */
export function registerCombined(
  primitives: Primitives,
  seed: Uint8Array,
  epoch: number,
  payload: Uint8Array,
): Uint8Array {
  const { prefix, scalar, pointBytes: publicKey } = ed25519.utils.getExtendedPublicKey(seed);
  const keys = combinedKeys(primitives, publicKey, epoch);
  const sealed = sealStatus(primitives, keys.sealingKey, aadOf(keys, epoch), payload);
  const message = signedBytes(epoch, keys.blindedKey, sealed);
  const blindedScalar = (scalar * blindingScalar(primitives, epoch, publicKey)) % ORDER;
  // A nonce of its own for each blinded key: one nonce under two keys would give both away.
  const nonceSeed = primitives.sha512(concat(LABEL_NONCE, prefix, keys.blindedKey, message));
  const nonce = littleEndian(nonceSeed) % ORDER || 1n;
  const commitment = Point.BASE.multiply(nonce).toBytes();
  const challenge = littleEndian(primitives.sha512(concat(commitment, keys.blindedKey, message))) % ORDER;
  const response = (nonce + challenge * blindedScalar) % ORDER;
  return concat(keys.blindedKey, sealed, commitment, scalarBytes(response));
}

/** Whether `registration` (as above) may stand in the database: a good key and a signature that covers everything. */
export function verifyCombined(
  primitives: Primitives,
  registration: Uint8Array,
  epoch: number,
  sealedBytes: number,
): boolean {
  const blindedKey = registration.subarray(0, BLINDED_KEY_BYTES);
  const sealed = registration.subarray(BLINDED_KEY_BYTES, BLINDED_KEY_BYTES + sealedBytes);
  const signature = registration.subarray(BLINDED_KEY_BYTES + sealedBytes);
  const message = signedBytes(epoch, blindedKey, sealed);
  return isGroupKey(blindedKey) && primitives.ed25519Verify(blindedKey, message, signature);
}
