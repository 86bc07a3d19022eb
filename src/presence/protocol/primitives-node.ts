/** The primitives through node:crypto: the fast side, in Bun and Node. */
import {
  createCipheriv,
  createDecipheriv,
  createHash,
  createHmac,
  createPrivateKey,
  createPublicKey,
  diffieHellman,
  hash,
  randomFillSync,
  sign,
  verify,
  type KeyObject,
} from "node:crypto";
import { concat } from "./bytes.ts";
import { GCM_TAG_BYTES, type Primitives } from "./primitives.ts";

/** DER prefixes that turn 32 raw bytes into what OpenSSL reads (RFC 8410). */
const der = {
  x25519Private: Buffer.from("302e020100300506032b656e04220420", "hex"),
  x25519Public: Buffer.from("302a300506032b656e032100", "hex"),
  ed25519Private: Buffer.from("302e020100300506032b657004220420", "hex"),
  ed25519Public: Buffer.from("302a300506032b6570032100", "hex"),
};

const privateKeyOf = (prefix: Buffer, raw: Uint8Array): KeyObject =>
  createPrivateKey({ key: Buffer.concat([prefix, raw]), format: "der", type: "pkcs8" });
const publicKeyOf = (prefix: Buffer, raw: Uint8Array): KeyObject =>
  createPublicKey({ key: Buffer.concat([prefix, raw]), format: "der", type: "spki" });

function rawPublicKey(privateKey: KeyObject): Uint8Array {
  const spki = createPublicKey(privateKey).export({ format: "der", type: "spki" });
  return new Uint8Array(spki.subarray(spki.byteLength - 32));
}

function digest(algorithm: "sha256" | "sha512", parts: readonly Uint8Array[]): Uint8Array {
  const [first] = parts;
  if (parts.length === 1 && first !== undefined) return hash(algorithm, first, "buffer");
  const hasher = createHash(algorithm);
  for (const part of parts) hasher.update(part);
  return hasher.digest();
}

const gcmName = (key: Uint8Array) => (key.byteLength === 16 ? "aes-128-gcm" : "aes-256-gcm");

export const nodePrimitives: Primitives = {
  random: (length) => randomFillSync(new Uint8Array(length)),
  sha256: (...parts) => digest("sha256", parts),
  sha512: (...parts) => digest("sha512", parts),
  hmacSha256(key, ...parts) {
    const mac = createHmac("sha256", key);
    for (const part of parts) mac.update(part);
    return mac.digest();
  },
  x25519PublicKey: (privateKey) => rawPublicKey(privateKeyOf(der.x25519Private, privateKey)),
  x25519: (privateKey, publicKey) =>
    diffieHellman({
      privateKey: privateKeyOf(der.x25519Private, privateKey),
      publicKey: publicKeyOf(der.x25519Public, publicKey),
    }),
  aesEncryptBlock(key, block) {
    const cipher = createCipheriv("aes-128-ecb", key, null).setAutoPadding(false);
    return concat(cipher.update(block), cipher.final());
  },
  aesDecryptBlock(key, block) {
    const decipher = createDecipheriv("aes-128-ecb", key, null).setAutoPadding(false);
    return concat(decipher.update(block), decipher.final());
  },
  gcmSeal(key, nonce, aad, plain) {
    const cipher = createCipheriv(gcmName(key), key, nonce).setAAD(aad);
    return concat(cipher.update(plain), cipher.final(), cipher.getAuthTag());
  },
  gcmOpen(key, nonce, aad, sealed) {
    const tagAt = sealed.byteLength - GCM_TAG_BYTES;
    if (tagAt < 0) return undefined;
    const decipher = createDecipheriv(gcmName(key), key, nonce).setAAD(aad);
    decipher.setAuthTag(sealed.subarray(tagAt));
    try {
      return concat(decipher.update(sealed.subarray(0, tagAt)), decipher.final());
    } catch {
      return undefined;
    }
  },
  ed25519PublicKey: (seed) => rawPublicKey(privateKeyOf(der.ed25519Private, seed)),
  ed25519Sign: (seed, message) => sign(null, message, privateKeyOf(der.ed25519Private, seed)),
  ed25519Verify(publicKey, message, signature) {
    try {
      return verify(null, message, publicKeyOf(der.ed25519Public, publicKey), signature);
    } catch {
      return false; // not the encoding of a point
    }
  },
};
