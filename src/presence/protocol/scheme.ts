/**
 * What differs between the versions of the protocol: sizes, keys of a friend pair, how a status is sealed.
 *
 * A registration carries one record for each friend (pairwise) or a single one that all friends read (combined). A
 * record of the database is `id ‖ sealed status`; it is found by its id and opened by whoever can derive the keys.
 *
 * Invariant: a scheme has no state. Sizes depend on nothing that a user does, so everybody's messages look alike.
 */
import { schemeV1 } from "./scheme-v1.ts";
import { schemeV2 } from "./scheme-v2.ts";
import { schemeV3 } from "./scheme-v3.ts";
import type { Primitives } from "./primitives.ts";

export const MAX_BUDDIES = 100;

export type ProtocolVersion = 1 | 2 | 3;

/** A friend pair as one of the two sees it: `announcer` is the one whose status is sealed. */
export interface PairContext {
  epoch: number;
  announcerPub: Uint8Array;
  readerPub: Uint8Array;
}

/** The keys of one pair, one direction and one epoch. */
export interface PairKeys {
  /** What the announcer sends; only the two friends know it. */
  secretId: Uint8Array;
  /** What the database holds: a hash of `secretId`, so that nobody who reads it can register under it. */
  id: Uint8Array;
  dataKey: Uint8Array;
}

export interface Scheme {
  readonly version: ProtocolVersion;
  /** Of an id in the database, and of the secret id in a registration. */
  readonly idBytes: number;
  /** Of the public bucket-hash key. */
  readonly prfKeyBytes: number;
  /** Length of the status that a user gives. */
  readonly payloadBytes: number;
  readonly sealedBytes: number;
  readonly recordBytes: number;
  /** The most buckets and records per bucket that the metadata can say. */
  readonly countMax: number;
  /** What a pair shares for ever; derived once and kept. */
  pairSecret(primitives: Primitives, sharedSecret: Uint8Array, preShared?: Uint8Array): Uint8Array;
  pairKeys(primitives: Primitives, pairSecret: Uint8Array, context: PairContext): PairKeys;
  idOf(primitives: Primitives, secretId: Uint8Array, epoch: number): Uint8Array;
  seal(primitives: Primitives, keys: PairKeys, context: PairContext, payload: Uint8Array): Uint8Array;
  /** Undefined when the record is not what the announcer sealed; version 1 cannot tell. */
  open(
    primitives: Primitives,
    keys: PairKeys,
    context: PairContext,
    sealed: Uint8Array,
  ): Uint8Array | undefined;
}

/** The scheme of a version, for statuses of `payloadBytes` (16 when absent). */
export function schemeOf(version: ProtocolVersion, payloadBytes = 16): Scheme {
  switch (version) {
    case 1:
      return schemeV1;
    case 2:
      return schemeV2(payloadBytes);
    case 3:
      return schemeV3(payloadBytes);
  }
}
