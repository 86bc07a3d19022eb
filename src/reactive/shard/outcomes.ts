/**
 * What became of transactions, so that whoever asks again gets the same answer.
 *
 * Invariant: the first outcome of a transaction is its only one. An outcome is forgotten when its client will not ask again
 * (its floor has passed it, or it was silent for too long, which is longer for one that keeps a log) and, at the home of a decision,
 * when every participant has carried it out (`isFinished`). Of a client that never says what it has settled the last `OUTCOMES_MAX` at least
 * are kept: its floor is moved past the others, which are not executed again either. Part of the replicated state; there may be
 * hundreds of thousands of clients, so a snapshot of them is read in chunks, while they go on (`dump`).
 */
import { assert } from "../../core/errors.ts";
import { type ByteReader, ByteWriter, putU32 } from "../wire/bytes.ts";
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

/** Clients in one chunk of a snapshot, and outcomes: what is written without a pause. */
const CHUNK_CLIENTS = 1000;
const CHUNK_OUTCOMES = 12_000;

interface Client {
  name: number;
  floor: number;
  atMs: number;
  outcomes: Map<number, Outcome>;
  /** The snapshot that has it already, or a copy of how it was. */
  dump: number;
}

/** Of a client: name u64, floor u64, at u64, outcomes u32 count; of each outcome: id, timestamp u64, finished u8, participants. */
const CLIENT_BYTES_MIN = 28;
const OUTCOME_BYTES_MIN = 29;

/** A snapshot that is being read. */
interface Dump {
  number: number;
  /** Bytes of clients that have changed since it began, and were not read before. */
  copies: Map<Client, Uint8Array>;
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
  #dump: Dump | undefined;
  #dumps = 0;

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
    this.#beforeChange(known);
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
    const client = clients.get(name) ?? { name, floor: 0, atMs, outcomes: new Map(), dump: this.#dumps };
    this.#beforeChange(client);
    client.atMs = atMs;
    if (name === this.#newest && clients.has(name)) return client;
    this.#newest = name;
    // Behind all others: `expire` looks at the front only.
    clients.delete(name);
    clients.set(name, client);
    return client;
  }

  /** A client is about to change: what is being read shows it as it was. */
  #beforeChange(client: Client): void {
    const dump = this.#dump;
    if (dump === undefined || client.dump === dump.number) return;
    const writer = new ByteWriter(CLIENT_BYTES_MIN);
    writeClient(writer, client);
    dump.copies.set(client, writer.done());
    client.dump = dump.number;
  }

  /**
   * All clients as they are at this call, in chunks of u32 count and clients, read one by one while outcomes come and go. One at a
   * time, until `close`.
   */
  dump(): { chunks: Iterable<Uint8Array>; close(): void } {
    assert(this.#dump === undefined, "one snapshot at a time");
    const dump: Dump = { number: ++this.#dumps, copies: new Map() };
    this.#dump = dump;
    const clients = [...this.#passing.values(), ...this.#kept.values()];
    return { chunks: chunksOf(clients, dump), close: () => void (this.#dump = undefined) };
  }

  /** To be called with the chunks of a dump, in order, on what is empty at first. Throws WireError. */
  load(reader: ByteReader): void {
    for (let clients = reader.count(CLIENT_BYTES_MIN); clients > 0; clients--) {
      const name = reader.u64();
      const client: Client = {
        name,
        floor: reader.u64(),
        atMs: reader.u64(),
        outcomes: new Map(),
        dump: 0,
      };
      for (let left = reader.count(OUTCOME_BYTES_MIN); left > 0; left--) {
        const id = readId(reader);
        const timestamp = reader.u64();
        const isFinished = reader.u8() !== 0;
        const outcome = { id, timestamp, isFinished, participants: reader.numbers(4096) };
        client.outcomes.set(id.number, outcome);
        if (!isFinished) this.#unfinished.add(outcome);
      }
      this.#of(name).set(name, client);
    }
  }
}

function* chunksOf(clients: readonly Client[], dump: Dump): Generator<Uint8Array, void> {
  for (let place = 0; place < clients.length;) {
    const writer = new ByteWriter(CHUNK_CLIENTS * CLIENT_BYTES_MIN).u32(0);
    let outcomes = 0;
    const first = place;
    while (place < clients.length && place - first < CHUNK_CLIENTS && outcomes < CHUNK_OUTCOMES) {
      const client = clients[place++] as Client;
      const copy = dump.copies.get(client);
      dump.copies.delete(client);
      if (copy !== undefined) writer.raw(copy);
      else writeClient(writer, client);
      client.dump = dump.number;
      outcomes += client.outcomes.size;
    }
    const chunk = writer.done();
    putU32(chunk, 0, place - first);
    yield chunk;
  }
}

function writeClient(writer: ByteWriter, { name, floor, atMs, outcomes }: Client): void {
  writer.u64(name).u64(floor).u64(atMs).u32(outcomes.size);
  for (const { id, timestamp, isFinished, participants } of outcomes.values()) {
    writeId(writer, id);
    writer
      .u64(timestamp)
      .u8(isFinished ? 1 : 0)
      .numbers(participants);
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
