/**
 * The object store seam: objects by name in a bucket of some S3-compatible store.
 *
 * Invariant: an object is there whole or not at all, and what `put` resolved for stays until it is removed. Nothing else is
 * promised: a call that failed may have happened or not, and a store may be slow, refuse, or hand out other bytes than it
 * got, so whoever reads compares checksums of his own.
 */
export interface ObjectEntry {
  key: string;
  bytes: number;
}

/** Names one content of one object: another content has another tag. */
export type ObjectTag = string;

export interface ObjectStore {
  /** For messages: `s3://bucket/prefix`. */
  readonly name: string;
  put(key: string, bytes: Uint8Array): Promise<void>;
  /**
   * Puts only where the object has this tag; with undefined, only where there is none. Returns the new tag, or "changed"
   * when something else was there. A store that does not know conditions puts in any case.
   */
  replace(key: string, bytes: Uint8Array, tag: ObjectTag | undefined): Promise<ObjectTag | "changed">;
  /** Undefined when there is no such object. Throws NX_DATA_CORRUPT for one that is longer than `bytesMax`. */
  get(key: string, bytesMax: number): Promise<Uint8Array | undefined>;
  stat(key: string): Promise<{ bytes: number; tag: ObjectTag } | undefined>;
  /** Every object whose key begins with `prefix`, in the order of keys. */
  list(prefix: string): AsyncGenerator<ObjectEntry>;
  /** Fine when there is none. */
  remove(key: string): Promise<void>;
  /** The SHA-256 of bytes in hexadecimal, computed beside the event loop; absent where there is nothing beside it. */
  sha256?(bytes: Uint8Array): Promise<string>;
  /** Nobody waits any more: calls under way fail at once, later ones too. What they asked for may still happen. */
  close(): void;
}

/** Where a bucket is and who asks. Secrets are in memory only; they come from files or the environment. */
export interface BucketPlace {
  bucket: string;
  /** Without slashes at its ends; may be empty. */
  prefix: string;
  /** `https://s3.example:9000`; undefined: that of AWS in the region. */
  endpoint?: string | undefined;
  region?: string | undefined;
  /** Path style puts the bucket into the path, the other way into the host's name. */
  isPathStyle: boolean;
  /** A call that takes longer counts as failed. */
  timeoutMs: number;
  accessKeyId: string;
  secretAccessKey: string;
  sessionToken?: string | undefined;
}

export type OpenObjectStore = (place: BucketPlace) => ObjectStore;
