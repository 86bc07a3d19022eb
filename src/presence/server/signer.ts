/**
 * The key that signs the metadata of version 3, and signing.
 *
 * Invariant: a key that was ever used is on disk, synced, before its first signature leaves; it is made once. It never
 * reaches a log or a message; the public half may.
 */
import { join } from "node:path";
import { NxError } from "../../core/errors.ts";
import type { World } from "../../core/role.ts";
import { readSecret } from "../../core/secret-file.ts";
import { writeFileAtomically } from "../../core/seams/durable-files.ts";
import { fromHex, toHex } from "../protocol/bytes.ts";
import { metadataMessage, type Metadata } from "../protocol/metadata.ts";
import { nodePrimitives } from "../protocol/primitives-node.ts";

const SEED_BYTES = 32;
/** Hex digits and a line end. */
const FILE_BYTES = 2 * SEED_BYTES + 1;

export class Signer {
  readonly publicKey: Uint8Array;
  readonly #seed: Uint8Array;

  constructor(seed: Uint8Array) {
    this.#seed = seed;
    this.publicKey = nodePrimitives.ed25519PublicKey(seed);
  }

  /** From the configured file, else from the data directory, where it is made when missing. */
  static async open(
    world: Pick<World, "disk" | "random">,
    dataDir: string,
    keyFile: string | undefined,
  ): Promise<Signer> {
    if (keyFile !== undefined) return new Signer(seedOf(readSecret("signingKeyFile", keyFile), keyFile));
    const path = join(dataDir, "signing.key");
    const { disk, random } = world;
    if (!(await disk.exists(path)))
      await writeFileAtomically(disk, path, `${toHex(random.bytes(SEED_BYTES))}\n`);
    const file = await disk.open(path, "read");
    try {
      const bytes = new Uint8Array(new ArrayBuffer(FILE_BYTES));
      const text = new TextDecoder().decode(bytes.subarray(0, await file.read(bytes, 0)));
      return new Signer(seedOf(text.trim(), path));
    } finally {
      await file.close();
    }
  }

  /** The metadata with this signer's key and signature. */
  sign(metadata: Metadata): Metadata {
    const { proof } = metadata;
    if (proof === undefined) return metadata;
    const claimed = { ...metadata, proof: { ...proof, signer: this.publicKey } };
    const signature = nodePrimitives.ed25519Sign(this.#seed, metadataMessage(claimed));
    return { ...claimed, proof: { ...claimed.proof, signature } };
  }
}

function seedOf(text: string, path: string): Uint8Array {
  const seed = fromHex(text);
  if (seed?.byteLength === SEED_BYTES) return seed;
  throw new NxError(
    "NX_SECRET_UNUSABLE",
    `${path} does not hold a key of ${SEED_BYTES} bytes as hex digits`,
    {
      hint: "`openssl rand -hex 32` makes one",
    },
  );
}
