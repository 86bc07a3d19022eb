/**
 * What became of transactions, so that whoever asks again gets the same answer.
 *
 * Invariant: the first outcome of a transaction is its only one. An outcome is forgotten when its client will not ask again
 * (its floor has passed it, or it was silent for too long, which is longer for one that keeps a log) and, at the home of a decision,
 * when every participant has carried it out (`isFinished`). Of a client that never says what it has settled the last `OUTCOMES_MAX` at least
 * are kept: its floor is moved past the others, which are not executed again either. Part of the replicated state.
 */
import type { ByteReader, ByteWriter } from "../wire/bytes.ts";
import { KEPT_CLIENT_MIN, readId, type TransactionId, writeId } from "./transaction.ts";

export interface Outcome {
  id: TransactionId;
  /** Commit timestamp; 0: aborted. */
  timestamp: number;
  /** Every participant has carried it out, so nobody but the client may ask. */
  isFinished: boolean;
  /** The shards that it touches, for who finishes it when its coordinator cannot. */
  participants: number[];
}

/** Of one client, but for those that are not finished. Alike in all versions. */
export const OUTCOMES_MAX = 10_000;
/** So many more before the oldest go, all at once. */
const OUTCOMES_SLACK = 1000;

interface Client {
  floor: number;
  atMs: number;
  outcomes: Map<number, Outcome>;
}

/** By name, in the order in which they were last heard. */
type Clients = Map<number, Client>;

export class Outcomes {
  readonly #passing: Clients = new Map();
  /** Those that keep a log. */
  readonly #kept: Clients = new Map();
  /** Of all these: frontends ask for them again and again, and there may be very many that are finished. */
  readonly #unfinished = new Set<Outcome>();
  /** The client that was heard last, as far as known. */
  #newest: number | undefined;

  /** "forgotten": the client said itself that it is settled. */
  get({ client, number }: TransactionId): Outcome | "forgotten" | undefined {
    const known = this.#of(client).get(client);
    return (
      known?.outcomes.get(number) ?? (known !== undefined && number < known.floor ? "forgotten" : undefined)
    );
  }

  record(outcome: Outcome, atMs: number): void {
    const { client, number } = outcome.id;
    const known = this.#client(client, atMs);
    if (number < known.floor && outcome.isFinished) return;
    const earlier = known.outcomes.get(number);
    if (earlier !== undefined) this.#unfinished.delete(earlier);
    known.outcomes.set(number, outcome);
    if (!outcome.isFinished) this.#unfinished.add(outcome);
    if (known.outcomes.size > OUTCOMES_MAX + OUTCOMES_SLACK) forgetOldest(known);
  }

  finish({ client, number }: TransactionId): void {
    const known = this.#of(client).get(client);
    const outcome = known?.outcomes.get(number);
    if (known === undefined || outcome === undefined) return;
    outcome.isFinished = true;
    this.#unfinished.delete(outcome);
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

  /** Forgets clients that were silent since `beforeMs`, or `keptBeforeMs` if they keep a log, and left nothing unfinished. */
  expire(beforeMs: number, keptBeforeMs: number): void {
    expire(this.#passing, beforeMs);
    expire(this.#kept, keptBeforeMs);
  }

  /** Decisions that may not have been carried out everywhere. */
  unfinished(): Outcome[] {
    return [...this.#unfinished];
  }

  #of(client: number): Clients {
    return client < KEPT_CLIENT_MIN ? this.#passing : this.#kept;
  }

  #client(name: number, atMs: number): Client {
    const clients = this.#of(name);
    const client = clients.get(name) ?? { floor: 0, atMs, outcomes: new Map() };
    client.atMs = atMs;
    if (name === this.#newest && clients.has(name)) return client;
    this.#newest = name;
    // Behind all others: `expire` looks at the front only.
    clients.delete(name);
    clients.set(name, client);
    return client;
  }

  write(writer: ByteWriter): void {
    writer.u32(this.#passing.size + this.#kept.size);
    for (const [name, { floor, atMs, outcomes }] of [...this.#passing, ...this.#kept]) {
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
        const outcome = { id, timestamp, isFinished, participants: reader.numbers(4096) };
        client.outcomes.set(id.number, outcome);
        if (!isFinished) read.#unfinished.add(outcome);
      }
      read.#of(name).set(name, client);
    }
    return read;
  }
}

function expire(clients: Clients, beforeMs: number): void {
  for (const [name, { atMs, outcomes }] of clients) {
    if (atMs >= beforeMs) break;
    if ([...outcomes.values()].every(({ isFinished }) => isFinished)) clients.delete(name);
  }
}

function forgetOldest(client: Client): void {
  for (const [number, { isFinished }] of client.outcomes) {
    if (client.outcomes.size <= OUTCOMES_MAX) return;
    if (!isFinished) continue;
    client.outcomes.delete(number);
    client.floor = Math.max(client.floor, number + 1);
  }
}
