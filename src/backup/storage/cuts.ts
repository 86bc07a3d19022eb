/**
 * Where a log is cut into generations, and what the next transfer carries. Pure: no file, no clock.
 *
 * A *mark* is a position in the log with the generation (gid) that the volume has there. `done` is the mark up to which
 * everything was shipped; the queue holds the marks that were asked for, oldest first.
 *
 * Invariant: gids and positions rise along done and queue. Between two marks so many gids are left free as transfers of the
 * largest size may be needed between them: each partial one takes one.
 */
export interface Mark {
  /** Nobody asked for the point by name: it may be merged away. */
  isMergeable: boolean;
  /** Seconds since 1970. */
  timestamp: number;
  lsid: bigint;
  gid: bigint;
}

/** The mark that follows `previous` at `lsid`. `physicalMax`: physical blocks of the longest transfer. */
export function nextMark(
  previous: Mark,
  lsid: bigint,
  { physicalMax, isMergeable, timestamp }: { physicalMax: bigint; isMergeable: boolean; timestamp: number },
): Mark {
  const gid = previous.gid + 1n + (lsid - previous.lsid) / physicalMax;
  return { isMergeable, timestamp, lsid, gid };
}

/** Whether a point should be cut now though nobody asked for one. */
export function isCutDue(
  done: Mark,
  queue: readonly Mark[],
  now: { lsid: bigint; timestamp: number; intervalSeconds: number },
): boolean {
  const newest = queue.at(-1);
  if (now.lsid <= (newest ?? done).lsid) return false;
  return newest === undefined || now.timestamp - newest.timestamp >= now.intervalSeconds;
}

export interface Transfer {
  from: Mark;
  /** Where it ends, and `done` afterwards. */
  to: Mark;
  isPartial: boolean;
}

/** What to ship next; undefined when nothing was asked for. */
export function nextTransfer(
  done: Mark,
  queue: readonly Mark[],
  { physicalMax, durable }: { physicalMax: bigint; durable: bigint },
): Transfer | undefined {
  let end = queue[0];
  if (end === undefined) return undefined;
  const most = done.lsid + physicalMax;
  for (const following of queue.slice(1)) {
    // Points that were asked for by name are never skipped.
    if (!end.isMergeable || following.lsid > most || following.lsid > durable) break;
    end = following;
  }
  // The last piece, for which no gid is left, goes as a whole.
  if (end.lsid <= most || end.gid <= done.gid + 1n) return { from: done, to: end, isPartial: false };
  const to = { isMergeable: true, timestamp: done.timestamp, lsid: most, gid: done.gid + 1n };
  return { from: done, to, isPartial: true };
}

/** The queue when everything up to `done` was shipped. */
export const remaining = (queue: readonly Mark[], done: Mark): Mark[] =>
  queue.filter(({ gid }) => gid > done.gid);
