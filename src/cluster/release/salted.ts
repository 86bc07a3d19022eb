/**
 * How a release names what is in a file that others must not know: by a digest with a salt.
 *
 * Invariant: nobody can find a short secret by trying digests of guesses, because the salt is only in the host's own manifest, which is
 * as private as the file. The same content keeps the salt that a host already has for it, so an unchanged secret is the same part of a
 * release, and only then.
 */
import { createHash, createHmac } from "node:crypto";
import type { Inventory } from "../agent/messages.ts";

/** Hex SHA-256 of the salt, if there is one, and the content. */
export function saltedDigest(content: Uint8Array, salt: string | undefined): string {
  const hash = createHash("sha256");
  if (salt !== undefined) hash.update(Buffer.from(salt, "hex"));
  return hash.update(content).digest("hex");
}

/** Gives files of releases their salts. */
export class Salts {
  readonly #key: Uint8Array;

  /** `key`: random bytes, the same for the whole command, so that a plan made twice is the same plan. */
  constructor(key: Uint8Array) {
    this.#key = key;
  }

  /** The salt with which a host knows this very content under this name, else a fresh one. */
  saltOf(name: string, content: Uint8Array, known: Iterable<Inventory>): string {
    for (const { releases } of known) {
      for (const { files } of releases) {
        const same = files.find((file) => file.name === name && file.salt !== undefined);
        if (same?.salt !== undefined && saltedDigest(content, same.salt) === same.sha256) return same.salt;
      }
    }
    return createHmac("sha256", this.#key).update(name).digest("hex").slice(0, 32);
  }
}
