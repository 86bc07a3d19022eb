/**
 * Reads, ranges, followers: what a shard's primary answers without an entry in the log.
 *
 * Invariant: a read at a timestamp that was issued shows exactly the transactions committed at or below it, because it waits for
 * those that are prepared on its keys, and whatever is prepared later gets a larger timestamp. A read of the newest
 * versions waits only for those that may still take their place below what it would see (increments that overtook each other);
 * a transaction that commits on it is validated.
 */
import { WireError } from "../wire/bytes.ts";
import {
  decodeQuery,
  encodeChanges,
  encodeReadReply,
  encodeScanReply,
  encodeUnsettled,
  type ReadVersion,
  type ShardQuery,
} from "./commands.ts";
import type { ShardService } from "./service.ts";
import type { TransactionId } from "./transaction.ts";

const NEWEST = Number.MAX_SAFE_INTEGER;
/** Of one answer. */
const SCAN_BYTES = 1024 * 1024;
const SCAN_COUNT_MAX = 10_000;
const CHANGED_KEYS = 10_000;

/** Throws WireError for a query that cannot be read. */
export function answerQuery(shard: ShardService, body: Uint8Array): Uint8Array | Promise<Uint8Array> {
  const query = decodeQuery(body);
  switch (query.kind) {
    case "read":
      return query.timestamp === 0
        ? readNewest(shard, query)
        : afterSettled(shard, writersOf(shard, query.keys), () => read(shard, query));
    case "scan":
      return afterSettled(shard, shard.state.prepared.writersBetween(query.from, query.to), () =>
        scan(shard, query),
      );
    case "changes":
      return changes(shard, query);
    case "unsettled":
      return unsettled(shard);
  }
}

function writersOf(shard: ShardService, keys: readonly Uint8Array[]): TransactionId[] {
  return keys.flatMap((key) => shard.state.prepared.writersOf(key));
}

/** Those that may be committed below the newest version of their key. */
function latecomersOf(shard: ShardService, keys: readonly Uint8Array[]): TransactionId[] {
  const { prepared } = shard.state;
  return keys.flatMap((key) => {
    const writers = prepared.writersOf(key);
    if (writers.length === 0) return [];
    const newest = shard.versions.read(key, NEWEST)?.start ?? 0;
    return writers.filter((id) => (prepared.get(id)?.above ?? 0) < newest);
  });
}

/** Whoever settles may leave a newer version, and with it other latecomers: so it looks again each time. */
function readNewest(
  shard: ShardService,
  query: ShardQuery & { kind: "read" },
): Uint8Array | Promise<Uint8Array> {
  const latecomers = latecomersOf(shard, query.keys);
  if (latecomers.length === 0) return read(shard, query);
  return shard.waiting.forSettled(latecomers).then(() => readNewest(shard, query));
}

/** Those that are prepared now may still get a timestamp at or below the one asked for; later ones cannot. */
function afterSettled(
  shard: ShardService,
  ids: readonly TransactionId[],
  answer: () => Uint8Array,
): Uint8Array | Promise<Uint8Array> {
  return ids.length === 0 ? answer() : shard.waiting.forSettled(ids).then(answer);
}

function read(shard: ShardService, query: ShardQuery & { kind: "read" }): Uint8Array {
  const { horizon, position } = shard.state;
  const timestamp = query.timestamp === 0 ? NEWEST : query.timestamp;
  const versions: ReadVersion[] = [];
  if (timestamp >= horizon) for (const key of query.keys) versions.push(readOne(shard, key, query));
  return encodeReadReply({ horizon, position, versions });
}

function readOne(
  shard: ShardService,
  key: Uint8Array,
  { timestamp, known }: { timestamp: number; known: number },
): ReadVersion {
  const view = shard.versions.read(key, timestamp === 0 ? NEWEST : timestamp);
  if (view === undefined) throw new WireError("a version at or above the horizon was collected"); // a defect of ours
  const { start, next, type, value } = view;
  return {
    start,
    end: next > 0 ? next - 1 : Math.max(start, timestamp, endOf(shard, key, known)),
    type,
    value: value.slice(),
  };
}

/** Up to which timestamp the newest version is known to stay the newest. */
function endOf(shard: ShardService, key: Uint8Array, known: number): number {
  const { prepared, largest } = shard.state;
  const aboves = prepared.writersOf(key).map((id) => prepared.get(id)?.above ?? 0);
  return aboves.length > 0 ? Math.min(...aboves) : Math.max(known, largest);
}

function scan(shard: ShardService, query: ShardQuery & { kind: "scan" }): Uint8Array {
  const { from, after, to, countMax } = query;
  const timestamp = query.timestamp === 0 ? NEWEST : query.timestamp;
  const { horizon } = shard.state;
  if (timestamp < horizon) return encodeScanReply({ horizon, isMore: false, entries: new Uint8Array(0) });
  const count = Math.min(countMax, SCAN_COUNT_MAX);
  const { entries, isMore } = shard.versions.scan(from, after, to, timestamp, count, SCAN_BYTES);
  return encodeScanReply({ horizon, isMore, entries });
}

async function changes(
  shard: ShardService,
  { position, waits }: ShardQuery & { kind: "changes" },
): Promise<Uint8Array> {
  for (;;) {
    const { state, feed } = shard;
    const found = feed.after(position, CHANGED_KEYS);
    if (found === undefined) return encodeChanges({ position: state.position, floor: 0, changes: undefined });
    const last = found.at(-1)?.position ?? position;
    // A limit may have ended what was found: then nothing is known of what follows.
    const isAll = last >= feed.last;
    // Whoever waited may have been the primary no longer when the answer came.
    if (!waits)
      return encodeChanges({
        position: isAll ? state.position : last,
        floor: isAll ? state.prepared.floor : 0,
        changes: found,
      });
    if (found.length > 0) return encodeChanges({ position: last, floor: 0, changes: found });
    await shard.waiting.forEntry();
  }
}

function unsettled(shard: ShardService): Uint8Array {
  const { prepared, outcomes } = shard.state;
  return encodeUnsettled({
    prepared: [...prepared].map(({ transaction: { id, home } }) => ({ id, home })),
    unfinished: outcomes.unfinished(),
  });
}
