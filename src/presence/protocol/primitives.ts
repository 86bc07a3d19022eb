/**
 * The cryptographic operations that the protocol stands on, as one interface with two sides: `primitives-node.ts`
 * (node:crypto, in Bun and Node) and `primitives-noble.ts` (@noble, in any engine, browsers included).
 *
 * Invariant: both sides give the same bytes for the same inputs; a test compares them.
 */

export interface Primitives {
  /** From the operating system's generator. */
  random(length: number): Uint8Array<ArrayBuffer>;
  sha256(...parts: readonly Uint8Array[]): Uint8Array;
  sha512(...parts: readonly Uint8Array[]): Uint8Array;
  hmacSha256(key: Uint8Array, ...parts: readonly Uint8Array[]): Uint8Array;
  x25519PublicKey(privateKey: Uint8Array): Uint8Array;
  /** The shared secret, 32 bytes. Throws for a public key of small order, which has none. */
  x25519(privateKey: Uint8Array, publicKey: Uint8Array): Uint8Array;
  /** One 16-byte block of AES-128. */
  aesEncryptBlock(key: Uint8Array, block: Uint8Array): Uint8Array;
  aesDecryptBlock(key: Uint8Array, block: Uint8Array): Uint8Array;
  /** AES-GCM with a 16- or 32-byte key and a 12-byte nonce: ciphertext, then a 16-byte tag. */
  gcmSeal(key: Uint8Array, nonce: Uint8Array, aad: Uint8Array, plain: Uint8Array): Uint8Array;
  /** Undefined when the tag does not fit. */
  gcmOpen(key: Uint8Array, nonce: Uint8Array, aad: Uint8Array, sealed: Uint8Array): Uint8Array | undefined;
  /** `seed` has 32 bytes. */
  ed25519PublicKey(seed: Uint8Array): Uint8Array;
  ed25519Sign(seed: Uint8Array, message: Uint8Array): Uint8Array;
  ed25519Verify(publicKey: Uint8Array, message: Uint8Array, signature: Uint8Array): boolean;
}

export const GCM_TAG_BYTES = 16;
export const GCM_NONCE_BYTES = 12;
