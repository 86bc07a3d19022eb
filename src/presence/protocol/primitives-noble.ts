/** The primitives through @noble: slower, but the same in every engine, browsers included. */
import { ecb, gcm } from "@noble/ciphers/aes.js";
import { randomBytes } from "@noble/ciphers/utils.js";
import { ed25519, x25519 } from "@noble/curves/ed25519.js";
import { hmac } from "@noble/hashes/hmac.js";
import { sha256, sha512 } from "@noble/hashes/sha2.js";
import { concat } from "./bytes.ts";
import { GCM_TAG_BYTES, type Primitives } from "./primitives.ts";

/** What `crypto.getRandomValues` gives at once. */
const RANDOM_BYTES_MAX = 65_536;

export const noblePrimitives: Primitives = {
  random(length) {
    const bytes = new Uint8Array(length);
    for (let at = 0; at < length; at += RANDOM_BYTES_MAX)
      bytes.set(randomBytes(Math.min(RANDOM_BYTES_MAX, length - at)), at);
    return bytes;
  },
  sha256: (...parts) => sha256(concat(...parts)),
  sha512: (...parts) => sha512(concat(...parts)),
  hmacSha256: (key, ...parts) => hmac(sha256, key, concat(...parts)),
  x25519PublicKey: (privateKey) => x25519.getPublicKey(privateKey),
  x25519: (privateKey, publicKey) => x25519.getSharedSecret(privateKey, publicKey),
  aesEncryptBlock: (key, block) => ecb(key, { disablePadding: true }).encrypt(block),
  aesDecryptBlock: (key, block) => ecb(key, { disablePadding: true }).decrypt(block),
  gcmSeal: (key, nonce, aad, plain) => gcm(key, nonce, aad).encrypt(plain),
  gcmOpen(key, nonce, aad, sealed) {
    if (sealed.byteLength < GCM_TAG_BYTES) return undefined;
    try {
      return gcm(key, nonce, aad).decrypt(sealed);
    } catch {
      return undefined;
    }
  },
  ed25519PublicKey: (seed) => ed25519.getPublicKey(seed),
  ed25519Sign: (seed, message) => ed25519.sign(message, seed),
  ed25519Verify(publicKey, message, signature) {
    try {
      return ed25519.verify(signature, message, publicKey);
    } catch {
      return false;
    }
  },
};
