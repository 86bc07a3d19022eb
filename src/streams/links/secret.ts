/** The proof that a worker knows the cluster's secret: without one every proof is right. */
import { createHmac, timingSafeEqual } from "node:crypto";

export function proofOf(secret: string, words: readonly (string | number)[]): string {
  return createHmac("sha256", secret).update(JSON.stringify(words)).digest("hex");
}

export function isProof(proof: unknown, secret: string, words: readonly (string | number)[]): boolean {
  const wanted = Buffer.from(proofOf(secret, words));
  const found = Buffer.from(String(proof));
  return found.byteLength === wanted.byteLength && timingSafeEqual(found, wanted);
}
