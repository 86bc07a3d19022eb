/**
 * Reads, ranges, followers: what a shard's primary answers without an entry in the log.
 *
 * Invariant: a read at a timestamp that was issued shows exactly the transactions committed at or below it, because it waits for
 * those that are prepared on its keys, and whatever is prepared later gets a larger timestamp, or is refused (at-once.ts). A read of
 * the newest versions waits only for those that may still take their place below what it would see (increments that overtook each
 * other); a transaction that commits on it is validated. A read of what is committed waits for nothing: it looks below what is under way.
 * What a read says to be valid up to `end` stays so.
 */
import { WireError } from "../wire/bytes.ts";
import { isCurrent } from "./checks.ts";
import {
  decodeQuery,
  encodeChanges,
  encodeReadReply,
  encodeScanReply,
  encodeUnsettled,
  type ReadVersion,
  type ShardQuery,
} from "./query-messages.ts";
import type { Prepared } from "./prepared.ts";
import type { ShardService } from "./service.ts";
import { idText } from "./transaction.ts";

const NEWEST = Number.MAX_SAFE_INTEGER;
/** Of one answer. */
const SCAN_BYTES = 1024 * 1024;
const SCAN_COUNT_MAX = 10_000;
const CHANGED_KEYS = 10_000;

type Answer = Uint8Array | undefined;

/** Undefined: this replica may be the primary no more, ask again. Throws WireError for a query that cannot be read. */
export function answerQuery(shard: ShardService, body: Uint8Array, view: number): Answer | Promise<Answer> {
  shard.atOnce.enter(view);
  const query = decodeQuery(body);
  switch (query.kind) {
    case "read":
      return query.timestamp === 0 ? readNewest(shard, query) : readAt(shard, query);
    case "scan":
      return scanAt(shard, query);
    case "changes":
      return changes(shard, query);
    case "unsettled":
      return unsettled(shard);
    case "validate":
      return validate(shard, query);
    case "committed":
      return readCommitted(shard, query.keys);
  }
}

const idOf = ({ transaction }: Prepared) => idText(transaction.id);

/** Whoever settles may leave a newer version, and with it other latecomers: so it looks again each time. */
function readNewest(shard: ShardService, query: ShardQuery & { kind: "read" }): Answer | Promise<Answer> {
  const latecomers = query.keys.flatMap((key) => latecomersOf(shard, key));
  if (latecomers.length === 0) return read(shard, query);
  return shard.waiting
    .forSettled(latecomers)
    .then((isSettled) => (isSettled ? readNewest(shard, query) : undefined));
}

/** Those that may be committed below the newest version of their key. */
function latecomersOf(shard: ShardService, key: Uint8Array): string[] {
  const atOnce = shard.atOnce.on(key);
  const writers = shard.state.prepared.writersOf(key);
  if (writers.length === 0) return atOnce;
  const newest = shard.versions.newest(key);
  return [...atOnce, ...writers.filter(({ above }) => above < newest).map(idOf)];
}

function readAt(shard: ShardService, query: ShardQuery & { kind: "read" }): Answer | Promise<Answer> {
  return afterSettled(shard, stop(shard, query.keys, query.timestamp), () => read(shard, query));
}

/**
 * Of each key the newest version below which nothing is committed any more. Never one that later turns out to have been
 * incomplete: an increment or append that is under way with a smaller timestamp would change what was seen.
 */
function readCommitted(shard: ShardService, keys: readonly Uint8Array[]): Uint8Array {
  const { horizon, position } = shard.state;
  const versions = keys.map((key): ReadVersion => {
    const bound = Math.min(NEWEST, ...boundsOf(shard, key));
    const { start, type, value } = viewOf(shard, key, Math.max(bound, horizon));
    // It promises no more than what it says, so that it is in nobody's way: writes above it stay possible.
    shard.atOnce.mark(key, start);
    return { start, end: start, type, value: value.slice() };
  });
  return encodeReadReply({ horizon, position, versions });
}

/** What a transaction read is still there: as of the timestamp, or later. */
function validate(
  shard: ShardService,
  { transaction, timestamp }: ShardQuery & { kind: "validate" },
): Answer | Promise<Answer> {
  const keys = transaction.accesses.map(({ key }) => key);
  return afterSettled(shard, stop(shard, keys, timestamp), () =>
    Uint8Array.of(isCurrent(shard, transaction) ? 1 : 0),
  );
}

/** Nobody writes these keys at or below the timestamp any more, but for those whose names are returned. */
function stop(shard: ShardService, keys: readonly Uint8Array[], timestamp: number): string[] {
  const { prepared } = shard.state;
  const writers = keys.flatMap((key) => [...shard.atOnce.on(key), ...prepared.writersOf(key).map(idOf)]);
  for (const key of keys) shard.atOnce.mark(key, timestamp);
  return writers;
}

function scanAt(shard: ShardService, query: ShardQuery & { kind: "scan" }): Answer | Promise<Answer> {
  const { from, to, timestamp } = query;
  const writers = [...shard.atOnce.all(), ...shard.state.prepared.writersBetween(from, to).map(idOf)];
  shard.atOnce.markAll(timestamp);
  return afterSettled(shard, writers, () => scan(shard, query));
}

/** Those that are on their way now may still get a timestamp at or below the one asked for; later ones cannot. */
function afterSettled(
  shard: ShardService,
  ids: readonly string[],
  answer: () => Uint8Array,
): Answer | Promise<Answer> {
  if (ids.length === 0) return answer();
  return shard.waiting.forSettled(ids).then((isSettled) => (isSettled ? answer() : undefined));
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
  const { start, next, type, value } = viewOf(shard, key, timestamp === 0 ? NEWEST : timestamp);
  const end = next > 0 ? next - 1 : Math.max(start, timestamp, endOf(shard, key, known));
  const version = { start, end, type, value: value.slice() };
  shard.atOnce.mark(key, end);
  return version;
}

function viewOf(shard: ShardService, key: Uint8Array, timestamp: number) {
  const view = shard.versions.read(key, timestamp);
  if (view === undefined) throw new WireError("a version at or above the horizon was collected"); // a defect of ours
  return view;
}

/** Timestamps at or below which what is under way on a key is not committed. */
function boundsOf(shard: ShardService, key: Uint8Array): number[] {
  const { prepared } = shard.state;
  return [...prepared.writersOf(key).map(({ above }) => above), ...shard.atOnce.floors(key)];
}

/** Up to which timestamp the newest version is known to stay the newest. */
function endOf(shard: ShardService, key: Uint8Array, known: number): number {
  const bounds = boundsOf(shard, key);
  return bounds.length > 0 ? Math.min(...bounds) : Math.max(known, shard.state.largest);
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
  { position, waits, upTo }: ShardQuery & { kind: "changes" },
): Promise<Uint8Array> {
  for (;;) {
    const { state, feed } = shard;
    const found = feed.after(position, CHANGED_KEYS);
    if (found === undefined) return encodeChanges({ position: state.position, floor: 0, changes: undefined });
    const last = found.at(-1)?.position ?? position;
    // A limit may have ended what was found: then nothing is known of what follows.
    const isAll = last >= feed.last;
    // Whoever waited may have been the primary no longer when the answer came.
    if (!waits) {
      shard.atOnce.markAll(upTo);
      const floor = isAll ? Math.min(upTo, state.prepared.floor, ...shard.atOnce.floors()) : 0;
      return encodeChanges({ position: isAll ? state.position : last, floor, changes: found });
    }
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
