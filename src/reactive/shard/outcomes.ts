/**
 * What became of transactions, so that whoever asks again gets the same answer.
 *
 * Invariant: the first outcome of a transaction is its only one. An outcome is forgotten when its client will not ask again
 * (its floor has passed it, or it was silent for `retentionMs`) and, at the home of a decision, when every participant has
 * carried it out (`isFinished`). Part of the replicated state.
 */
import type { ByteReader, ByteWriter } from "../wire/bytes.ts";
import { readId, type TransactionId, writeId } from "./transaction.ts";

export interface Outcome {
  id: TransactionId;
  /** Commit timestamp; 0: aborted. */
  timestamp: number;
  /** Every participant has carried it out, so nobody but the client may ask. */
  isFinished: boolean;
  /** The shards that it touches, for who finishes it when its coordinator cannot. */
  participants: number[];
}

interface Client {
  floor: number;
  atMs: number;
  outcomes: Map<number, Outcome>;
}

export class Outcomes {
  readonly #clients = new Map<number, Client>();
  /** The last one of these, as far as known. */
  #newest: number | undefined;

  /** "forgotten": the client said itself that it is settled. */
  get({ client, number }: TransactionId): Outcome | "forgotten" | undefined {
    const known = this.#clients.get(client);
    return (
      known?.outcomes.get(number) ?? (known !== undefined && number < known.floor ? "forgotten" : undefined)
    );
  }

  record(outcome: Outcome, atMs: number): void {
    const { client, number } = outcome.id;
    const known = this.#client(client, atMs);
    if (number >= known.floor || !outcome.isFinished) known.outcomes.set(number, outcome);
  }

  finish({ client, number }: TransactionId): void {
    const known = this.#clients.get(client);
    const outcome = known?.outcomes.get(number);
    if (known === undefined || outcome === undefined) return;
    outcome.isFinished = true;
    if (number < known.floor) known.outcomes.delete(number);
  }

  /** The client has settled what is below `floor`. */
  settle(client: number, floor: number, atMs: number): void {
    const known = this.#client(client, atMs);
    if (floor <= known.floor) return;
    known.floor = floor;
    for (const [number, outcome] of known.outcomes) {
      if (number >= floor) break; // almost in order; what is missed here is found next time
      if (outcome.isFinished) known.outcomes.delete(number);
    }
  }

  /** Forgets clients that were silent since `beforeMs` and left nothing unfinished. */
  expire(beforeMs: number): void {
    for (const [name, { atMs, outcomes }] of this.#clients) {
      if (atMs >= beforeMs) break; // in the order in which they were last heard
      if ([...outcomes.values()].every(({ isFinished }) => isFinished)) this.#clients.delete(name);
    }
  }

  /** Decisions that may not have been carried out everywhere. */
  unfinished(): Outcome[] {
    return [...this.#clients.values()].flatMap(({ outcomes }) =>
      [...outcomes.values()].filter(({ isFinished }) => !isFinished),
    );
  }

  #client(name: number, atMs: number): Client {
    const client = this.#clients.get(name) ?? { floor: 0, atMs, outcomes: new Map() };
    client.atMs = atMs;
    if (name === this.#newest && this.#clients.has(name)) return client;
    this.#newest = name;
    // Behind all others: `expire` looks at the front only.
    this.#clients.delete(name);
    this.#clients.set(name, client);
    return client;
  }

  write(writer: ByteWriter): void {
    writer.u32(this.#clients.size);
    for (const [name, { floor, atMs, outcomes }] of this.#clients) {
      writer.u64(name).u64(floor).u64(atMs).u32(outcomes.size);
      for (const { id, timestamp, isFinished, participants } of outcomes.values()) {
        writeId(writer, id);
        writer
          .u64(timestamp)
          .u8(isFinished ? 1 : 0)
          .numbers(participants);
      }
    }
  }

  static read(reader: ByteReader): Outcomes {
    const read = new Outcomes();
    for (let clients = reader.count(28); clients > 0; clients--) {
      const name = reader.u64();
      const client: Client = { floor: reader.u64(), atMs: reader.u64(), outcomes: new Map() };
      for (let left = reader.count(29); left > 0; left--) {
        const id = readId(reader);
        const timestamp = reader.u64();
        const isFinished = reader.u8() !== 0;
        client.outcomes.set(id.number, { id, timestamp, isFinished, participants: reader.numbers(4096) });
      }
      read.#clients.set(name, client);
    }
    return read;
  }
}
