/**
 * What a lookup asks for, worked out from the metadata and the friends.
 *
 * Invariant: in version 3 the number and length of the queries depend on the metadata alone. Versions 1 and 2 send one
 * query instead of one hundred where all friends share a bucket, as their clients did.
 */
import { combinedKeys, openCombined } from "../protocol/blinding.ts";
import { placeOf, dataBytes, isBatched, queryCount, rowBytes } from "../protocol/layout.ts";
import type { Metadata } from "../protocol/metadata.ts";
import type { Primitives } from "../protocol/primitives.ts";
import type { Scheme } from "../protocol/scheme.ts";
import { placeInPartitions } from "../protocol/batch-code.ts";
import type { Friend, Identity } from "./identity.ts";

/** One friend's record, as it is looked for. */
export interface Target {
  friend: Friend;
  id: Uint8Array;
  /** Index of the query whose bucket has the record, if there is one; undefined when it found no place. */
  query: number | undefined;
  /** Undefined when the record is not what the friend sealed. */
  open(sealed: Uint8Array): Uint8Array | undefined;
}

export interface LookupPlan {
  targets: Target[];
  /** Wanted row of each query; in the batch layout, within the partition of the same number. */
  rows: number[];
}

interface Wanted {
  friend: Friend;
  id: Uint8Array;
  open(sealed: Uint8Array): Uint8Array | undefined;
}

function wantedOf(
  primitives: Primitives,
  scheme: Scheme,
  identity: Identity,
  friend: Friend,
  { epoch, isCombined }: Metadata,
): Wanted {
  if (isCombined) {
    const keys = combinedKeys(primitives, friend.publicKey, epoch);
    return { friend, id: keys.id, open: (sealed) => openCombined(primitives, keys, epoch, sealed) };
  }
  const context = { epoch, announcerPub: friend.publicKey, readerPub: identity.publicKey };
  const keys = scheme.pairKeys(primitives, identity.pairSecret(scheme, friend), context);
  return { friend, id: keys.id, open: (sealed) => scheme.open(primitives, keys, context, sealed) };
}

export function planLookup(
  primitives: Primitives,
  scheme: Scheme,
  identity: Identity,
  friends: readonly Friend[],
  metadata: Metadata,
): LookupPlan {
  const wanted = friends.map((friend) => wantedOf(primitives, scheme, identity, friend, metadata));
  const places = wanted.map(({ id }) => placeOf(primitives, metadata.prfKey, id, metadata));
  const random = (limit: number) => (primitives.random(1)[0] as number) % limit;
  if (isBatched(metadata)) {
    const placed = placeInPartitions(
      places.map(({ partitions }) => partitions),
      random,
    );
    const rows = new Array<number>(queryCount(metadata, metadata.maxBuddies)).fill(0);
    placed.forEach((partition, index) => {
      if (partition !== undefined) rows[partition] = places[index]?.bucket as number;
    });
    return { targets: wanted.map((one, index) => ({ ...one, query: placed[index] })), rows };
  }
  return planTable(
    wanted,
    places.map(({ bucket }) => bucket),
    metadata,
  );
}

function planTable(wanted: Wanted[], buckets: number[], metadata: Metadata): LookupPlan {
  const distinct = [...new Set(buckets)];
  const isShort = metadata.version !== 3 && distinct.length <= 1;
  const rows = [...distinct];
  while (rows.length < (isShort ? 1 : metadata.maxBuddies)) rows.push(0);
  const targets = wanted.map((one, index) => ({ ...one, query: distinct.indexOf(buckets[index] as number) }));
  return { targets, rows };
}

/** Whether queries cost less than the whole database. Depends on public values only. */
export function isPirCheaper(metadata: Metadata, servers: number, queries: number): boolean {
  const partitioned = isBatched(metadata) ? metadata.partitions : queries;
  return servers * (metadata.rows + rowBytes(metadata)) * partitioned < dataBytes(metadata);
}
