/**
 * Replicas as pure state machines around one table: a test says which message arrives, which write becomes durable and
 * how late it is. Nothing happens by itself, so a schedule that a random run meets once in a million is five lines.
 */
import { seededRandom } from "../../../src/core/seams/random.ts";
import { decodeRequests } from "../../../src/reactive/replication/codec.ts";
import { Replica } from "../../../src/reactive/replication/replica.ts";
import { replicaDefaults } from "../../../src/reactive/replication/settings.ts";
import type {
  Entry,
  Envelope,
  PeerMessage,
  Promises,
  ReplicaAction,
  ReplicaEvent,
  Restored,
} from "../../../src/reactive/replication/types.ts";

type Write = Extract<ReplicaAction, { kind: "journal" | "promise" }>;

interface Flight {
  to: number;
  envelope: Envelope;
}

/** One replica with its disk. */
export class Seat {
  replica: Replica;
  /** Messages that it sent and nobody has received. */
  sent: Flight[] = [];
  /** Writes that are not durable. */
  writes: Write[] = [];
  /** What its service has applied: the bodies, as texts. */
  applied: string[] = [];
  reads: Extract<ReplicaAction, { kind: "readReady" | "readRefused" }>[] = [];
  readonly index: number;
  readonly #table: Table;
  #disk: Restored = { promises: undefined, logView: 0, snapshotOp: 0, entries: [] };

  constructor(table: Table, index: number) {
    this.index = index;
    this.#table = table;
    this.replica = this.#start();
  }

  #start(): Replica {
    const { replicas, nowMs } = this.#table;
    const restored = { ...this.#disk, entries: [...this.#disk.entries] };
    const settings = { ...replicaDefaults, replica: this.index, replicas };
    this.replica = new Replica(settings, restored, seededRandom(++this.#table.lives));
    this.applied = [];
    this.#take(this.replica.start({ monotonicMs: nowMs, wallMs: this.#table.wallMs, groupMs: nowMs }));
    return this.replica;
  }

  /** The process dies and starts again with what its disk has. Messages on their way stay on their way. */
  restart({ isWiped = false } = {}): void {
    this.writes = [];
    if (isWiped) this.#disk = { promises: undefined, logView: 0, snapshotOp: 0, entries: [] };
    this.#start();
  }

  step(event: ReplicaEvent): void {
    const { nowMs, wallMs } = this.#table;
    this.#take(this.replica.step({ monotonicMs: nowMs, wallMs, groupMs: nowMs }, event));
  }

  #take(actions: ReplicaAction[]): void {
    for (const action of actions) {
      if (action.kind === "send") {
        this.sent.push({ to: action.to, envelope: structuredClone(this.replica.envelope(action.message)) });
      } else if (action.kind === "journal" || action.kind === "promise") this.writes.push(action);
      else if (action.kind === "apply") this.applied.push(...action.entries.flatMap(textsOf));
      else if (action.kind === "readReady" || action.kind === "readRefused") this.reads.push(action);
    }
  }

  /** The oldest writes become durable, all or `count` of them. */
  sync(count = Number.POSITIVE_INFINITY): void {
    for (const write of this.writes.splice(0, Math.min(count, this.writes.length))) {
      if (write.kind === "promise") this.#disk.promises = structuredClone(write.promises) as Promises;
      else {
        const { record } = write;
        if (record.kind === "install") {
          this.#disk.logView = record.logView;
          this.#disk.entries.length = record.keep;
        }
        this.#disk.entries.push(...record.entries);
      }
      this.step({ kind: "durable", write: write.write });
    }
  }

  request(text: string): void {
    const body = new TextEncoder().encode(text);
    this.replica.take({ session: 1, number: 1, floor: 1, body });
    this.step({ kind: "turnEnd" });
  }

  /** What its log holds, as texts. */
  get log(): string[] {
    return [...this.applied, ...this.replica.durableLog.entries.flatMap(textsOf)];
  }
}

function textsOf(entry: Entry): string[] {
  return decodeRequests(entry.payload).map(({ body }) => new TextDecoder().decode(body));
}

export class Table {
  readonly replicas: number;
  readonly seats: Seat[] = [];
  nowMs = 1000;
  /** How much the wall clock has jumped ahead of the monotonic one. */
  suspendedMs = 0;
  lives = 0;

  constructor(replicas: number) {
    this.replicas = replicas;
    for (let index = 0; index < replicas; index++) this.seats.push(new Seat(this, index));
  }

  get wallMs(): number {
    return 1_767_225_600_000 + this.nowMs + this.suspendedMs;
  }

  seat(index: number): Seat {
    return this.seats[index] as Seat;
  }

  /** Lets messages between these replicas arrive, and their writes become durable, until nothing is left to do. */
  settle(among = this.seats.map(({ index }) => index)): void {
    for (let round = 0; round < 100; round++) {
      const before = this.lives;
      let didSomething = false;
      for (const seat of among.map((index) => this.seat(index))) {
        if (seat.writes.length > 0) didSomething = true;
        seat.sync();
        for (const { to, envelope } of this.take(seat.index, (flight) => among.includes(flight.to))) {
          didSomething = true;
          this.seat(to).step({ kind: "message", envelope });
        }
      }
      if (!didSomething && before === this.lives) return;
    }
    throw new Error("the replicas never come to rest");
  }

  /** Takes messages off the table; the others stay. */
  take(from: number, isTaken: (flight: Flight) => boolean): Flight[] {
    const seat = this.seat(from);
    const taken = seat.sent.filter(isTaken);
    seat.sent = seat.sent.filter((flight) => !isTaken(flight));
    return taken;
  }

  /** The messages of these types from one replica to another arrive. */
  deliver(from: number, to: number, ...types: PeerMessage["type"][]): void {
    const isTaken = (flight: Flight) =>
      flight.to === to && (types.length === 0 || types.includes(flight.envelope.message.type));
    for (const { envelope } of this.take(from, isTaken)) this.seat(to).step({ kind: "message", envelope });
  }

  /** All that is on its way is lost. */
  lose(): void {
    for (const seat of this.seats) seat.sent = [];
  }

  /** Time passes in steps that are no suspension; what is due for these replicas happens. */
  pass(delayMs: number, among = this.seats.map(({ index }) => index)): void {
    const endMs = this.nowMs + delayMs;
    do {
      this.nowMs = Math.min(endMs, this.nowMs + 10);
      for (const index of among) this.seat(index).step({ kind: "wake" });
    } while (this.nowMs < endMs);
  }

  /** Time passes in small steps, with everything arriving between these replicas. */
  run(delayMs: number, among = this.seats.map(({ index }) => index)): void {
    for (let passed = 0; passed < delayMs; passed += 10) {
      this.pass(10, among);
      this.settle(among);
    }
  }

  /** A group that has been founded, in view 0. */
  static founded(replicas: number): Table {
    const table = new Table(replicas);
    table.settle();
    table.run(100);
    return table;
  }
}
