/**
 * The leader's table of acknowledged streams: how far each was taken, and which worker has its sender.
 *
 * A sender may come back at another worker. That one has to know what the first one fed since the last checkpoint, or it
 * would feed it again; and while one worker has the sender, nobody else may take the stream.
 *
 * Invariant: a grant says the most that any worker of this epoch has fed of the stream. That is exact, because a worker
 * tells what it fed when its sender goes, before the stream counts as free, and all tell what the checkpoint has when an
 * epoch begins; before all have told, and while a leader that has just started only knows the epoch of the one before it,
 * whoever asks waits. A stream goes from one worker to another only behind a checkpoint that holds what the first one fed: what
 * the second feeds takes another way, and could arrive before it. Nothing here is durable: every worker's checkpoint has
 * what it fed.
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
  /** Who had it before, and the first checkpoint that holds all that it fed. */
  last: { worker: string; checkpoint: number } | undefined;
}

type Wanted = Extract<ToLeader, { type: "streamWanted" }>;

export class StreamRegistry {
  readonly #entries = new Map<string, Entry>();
  /** Who waits for a checkpoint. */
  #waiting: { session: Session; worker: string; wanted: Wanted }[] = [];
  #inherited: StreamPositions = {};
  #committed = 0;
  /** All workers have told what they have. */
  #isComplete = false;

  /** Positions that workers had who leave in this epoch. */
  get inherited(): StreamPositions {
    return this.#inherited;
  }

  /** A new epoch: everybody will tell again. */
  reset(): void {
    this.#entries.clear();
    this.#waiting = [];
    this.#inherited = {};
    this.#isComplete = false;
  }

  /** The epoch runs: everybody has told. */
  complete(): void {
    this.#isComplete = true;
    this.#answer();
  }

  /** What a worker has in the checkpoint that the epoch begins with. */
  ready(worker: string, reports: readonly StreamReport[], isLeaving: boolean): void {
    this.#report(worker, reports, 0);
    if (!isLeaving) return;
    for (const { source, stream, seen } of reports)
      if (seen !== null) this.#inherited = mergedPositions(this.#inherited, { [source]: { [stream]: seen } });
  }

  /** `nextCheckpoint`: the first that has not begun. Returns whether somebody waits for it. */
  hear(
    session: Session,
    worker: string,
    message: Extract<ToLeader, { type: "streams" | "streamWanted" }>,
    nextCheckpoint: number,
  ): boolean {
    if (message.type === "streams") this.#report(worker, message.reports, nextCheckpoint);
    else this.#waiting.push({ session, worker, wanted: message });
    return this.#answer();
  }

  /** A checkpoint is committed: what was fed before it is where it belongs. */
  committed(checkpoint: number): void {
    this.#committed = checkpoint;
    this.#answer();
  }

  #entry(source: string, stream: string): Entry {
    const name = `${source}\n${stream}`;
    let entry = this.#entries.get(name);
    if (entry === undefined) {
      entry = { seen: null, acked: null, holder: undefined, last: undefined };
      this.#entries.set(name, entry);
    }
    return entry;
  }

  #report(worker: string, reports: readonly StreamReport[], nextCheckpoint: number): void {
    for (const { source, stream, seen, acked, isHeld } of reports) {
      const entry = this.#entry(source, stream);
      entry.seen = larger(entry.seen, seen);
      entry.acked = larger(entry.acked, acked);
      if (isHeld) entry.holder = worker;
      else if (entry.holder === worker) {
        entry.holder = undefined;
        entry.last = { worker, checkpoint: nextCheckpoint };
      }
    }
  }

  /** Answers all that can be answered; returns whether somebody has to wait. */
  #answer(): boolean {
    if (!this.#isComplete) return false;
    this.#waiting = this.#waiting.filter(({ session, worker, wanted }) => {
      const { epoch, source, stream } = wanted;
      const entry = this.#entry(source, stream);
      const isFree = entry.holder === undefined || entry.holder === worker;
      if (isFree && this.#isOnItsWay(entry, worker)) return true;
      if (isFree) this.#give(entry, worker);
      const grant: StreamGrant = { isGranted: isFree, seen: entry.seen, acked: entry.acked };
      session.send({ type: "stream", epoch, source, stream, grant });
      return false;
    });
    return this.#waiting.length > 0;
  }

  #give(entry: Entry, worker: string): void {
    const { last } = entry;
    // The checkpoint that it waited for has everything that was fed: nobody need send it again.
    if (entry.holder === undefined && last !== undefined && this.#committed >= last.checkpoint)
      entry.acked = larger(entry.acked, entry.seen);
    entry.holder = worker;
    entry.last = undefined;
  }

  /** What another worker fed may still be on its way. */
  #isOnItsWay({ last }: Entry, worker: string): boolean {
    return last !== undefined && last.worker !== worker && this.#committed < last.checkpoint;
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
