/**
 * A user: keys, and what is shared with each friend.
 *
 * Invariant: the secret shared with a friend is computed once and kept, because it is the same in every epoch. Private
 * keys and shared secrets stay in this object; nothing here prints or logs.
 */
import { NxError } from "../../core/errors.ts";
import { toHex } from "../protocol/bytes.ts";
import type { Primitives } from "../protocol/primitives.ts";
import type { Scheme } from "../protocol/scheme.ts";

/** Raw keys. X25519 for records of pairs, an Ed25519 seed for the combined mode; either may be absent. */
export interface IdentityKeys {
  privateKey?: Uint8Array;
  signingSeed?: Uint8Array;
}

/** A friend, by the public key that the mode in use needs. */
export interface Friend {
  publicKey: Uint8Array;
  /** 32 bytes known to both, mixed into the keys of version 3. */
  preShared?: Uint8Array;
}

export class Identity {
  readonly publicKey: Uint8Array;
  readonly signingPublicKey: Uint8Array;
  readonly #keys: IdentityKeys;
  readonly #primitives: Primitives;
  readonly #secrets = new Map<string, Uint8Array>();

  constructor(primitives: Primitives, keys: IdentityKeys) {
    this.#primitives = primitives;
    this.#keys = keys;
    const none = new Uint8Array(0);
    this.publicKey = keys.privateKey === undefined ? none : primitives.x25519PublicKey(keys.privateKey);
    this.signingPublicKey =
      keys.signingSeed === undefined ? none : primitives.ed25519PublicKey(keys.signingSeed);
  }

  /** New keys of both kinds. */
  static generate(primitives: Primitives): Identity {
    return new Identity(primitives, {
      privateKey: primitives.random(32),
      signingSeed: primitives.random(32),
    });
  }

  get signingSeed(): Uint8Array {
    const { signingSeed } = this.#keys;
    if (signingSeed === undefined) throw new NxError("NX_INPUT_INVALID", "this identity has no signing key");
    return signingSeed;
  }

  /** What this user shares with a friend. Throws NX_INPUT_INVALID for a key that no honest friend has. */
  pairSecret(scheme: Scheme, friend: Friend): Uint8Array {
    const name = `${scheme.version} ${toHex(friend.publicKey)} ${toHex(friend.preShared ?? new Uint8Array(0))}`;
    const known = this.#secrets.get(name);
    if (known !== undefined) return known;
    const secret = scheme.pairSecret(this.#primitives, this.#exchange(friend.publicKey), friend.preShared);
    this.#secrets.set(name, secret);
    return secret;
  }

  #exchange(publicKey: Uint8Array): Uint8Array {
    const { privateKey } = this.#keys;
    if (privateKey === undefined) throw new NxError("NX_INPUT_INVALID", "this identity has no private key");
    try {
      return this.#primitives.x25519(privateKey, publicKey);
    } catch (error) {
      throw new NxError("NX_INPUT_INVALID", "a friend's public key is not valid", { cause: error });
    }
  }
}
