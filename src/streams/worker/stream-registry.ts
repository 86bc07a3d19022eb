/**
 * The leader's table of acknowledged streams: how far each was taken, and which worker has its sender.
 *
 * A sender may come back at another worker. That one has to know what the first one fed since the last checkpoint, or it
 * would feed it again; and while one worker has the sender, nobody else may take the stream.
 *
 * Invariant: a grant says the most that any worker of this epoch has fed of the stream. That is exact, because a worker
 * tells what it fed when its sender goes, before the stream counts as free, and all tell what the checkpoint has when an
 * epoch begins. Nothing here is durable: every worker's checkpoint has what it fed.
 */
import type { Session } from "./leader-types.ts";
import type { ToLeader } from "./messages.ts";

/** By source, by stream (its number as text). */
export type StreamPositions = Record<string, Record<string, number>>;

/** What a worker says of one stream. */
export interface StreamReport {
  source: string;
  stream: string;
  /** The last message that was fed, and the last that is acknowledged; null: none. */
  seen: number | null;
  acked: number | null;
  /** Its sender is connected to the worker. */
  isHeld: boolean;
}

export interface StreamGrant {
  isGranted: boolean;
  seen: number | null;
  acked: number | null;
}

interface Entry {
  seen: number | null;
  acked: number | null;
  holder: string | undefined;
}

export class StreamRegistry {
  readonly #entries = new Map<string, Entry>();
  #inherited: StreamPositions = {};

  /** Positions that workers had who leave in this epoch. */
  get inherited(): StreamPositions {
    return this.#inherited;
  }

  /** A new epoch: everybody will tell again. */
  reset(): void {
    this.#entries.clear();
    this.#inherited = {};
  }

  /** What a worker has in the checkpoint that the epoch begins with. */
  ready(worker: string, reports: readonly StreamReport[], isLeaving: boolean): void {
    this.report(worker, reports);
    if (!isLeaving) return;
    for (const { source, stream, seen } of reports)
      if (seen !== null) this.#inherited = mergedPositions(this.#inherited, { [source]: { [stream]: seen } });
  }

  hear(
    session: Session,
    worker: string,
    message: Extract<ToLeader, { type: "streams" | "streamWanted" }>,
  ): void {
    if (message.type === "streams") return this.report(worker, message.reports);
    const { epoch, source, stream } = message;
    session.send({ type: "stream", epoch, source, stream, grant: this.claim(worker, source, stream) });
  }

  #entry(source: string, stream: string): Entry {
    const name = `${source}\n${stream}`;
    let entry = this.#entries.get(name);
    if (entry === undefined)
      this.#entries.set(name, (entry = { seen: null, acked: null, holder: undefined }));
    return entry;
  }

  report(worker: string, reports: readonly StreamReport[]): void {
    for (const { source, stream, seen, acked, isHeld } of reports) {
      const entry = this.#entry(source, stream);
      entry.seen = larger(entry.seen, seen);
      entry.acked = larger(entry.acked, acked);
      if (isHeld) entry.holder = worker;
      else if (entry.holder === worker) entry.holder = undefined;
    }
  }

  /** A worker has a sender that wants to go on with a stream. */
  claim(worker: string, source: string, stream: string): StreamGrant {
    const entry = this.#entry(source, stream);
    const isGranted = entry.holder === undefined || entry.holder === worker;
    if (isGranted) entry.holder = worker;
    return { isGranted, seen: entry.seen, acked: entry.acked };
  }
}

export function larger(one: number | null, other: number | null): number | null {
  if (one === null || other === null) return one ?? other;
  return Math.max(one, other);
}

/** The larger position of each stream. */
export function mergedPositions(one: StreamPositions, other: StreamPositions): StreamPositions {
  const merged: StreamPositions = structuredClone(one);
  for (const [source, streams] of Object.entries(other)) {
    const into = (merged[source] ??= {});
    for (const [stream, position] of Object.entries(streams))
      into[stream] = Math.max(position, into[stream] ?? 0);
  }
  return merged;
}
