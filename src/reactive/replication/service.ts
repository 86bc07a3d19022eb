/**
 * What a group replicates as a whole: the service and the table of sessions, with one snapshot for both.
 *
 * Invariant: both are at the same op. A snapshot is a series of parts, each one byte and a chunk: 1 first chunk of the
 * sessions, 2 another one, 3 a chunk of the service, 4 a piece of a chunk that the next part goes on with: however long a machine makes a
 * chunk, every part finds room in a message between replicas. There is one snapshot at a time, for the journal or for another replica: a machine
 * keeps what a snapshot shows until it is closed. A crash takes everything here; the journal brings it back.
 */
import { assert } from "../../core/errors.ts";
import { WireError } from "../wire/bytes.ts";
import { SessionTable, type Outcome } from "./sessions.ts";
import type { Steps } from "./steps.ts";
import type { Entry, StateMachine, StateRestorer, StateStream } from "./types.ts";

const Part = { sessionsHead: 1, sessions: 2, service: 3, piece: 4 } as const;

export const PART_BYTES_MAX = 1024 * 1024;

export interface ServiceRestorer extends Omit<StateRestorer, "finish"> {
  finish(op: number): void;
}

export class Service {
  readonly machine: StateMachine;
  #sessions = new SessionTable();
  /** The last entry that was applied. */
  #op = 0;
  #isBeingRead = false;
  #isApplying = false;

  constructor(machine: StateMachine) {
    this.machine = machine;
  }

  get op(): number {
    return this.#op;
  }

  get sessions(): SessionTable {
    return this.#sessions;
  }

  /** As steps where it takes long: until the last of them the state belongs to no op. */
  apply(entry: Entry): Outcome[] | Steps<Outcome[]> {
    assert(entry.op === this.#op + 1 && !this.#isApplying, `entry ${entry.op} follows ${this.#op}`);
    const outcomes = this.#sessions.apply(entry, this.machine);
    if (!Array.isArray(outcomes)) {
      // From here on: the sessions know already what it brings.
      this.#isApplying = true;
      return this.#applyInSteps(entry, outcomes);
    }
    this.#op = entry.op;
    return outcomes;
  }

  *#applyInSteps({ op }: Entry, steps: Steps<Outcome[]>): Steps<Outcome[]> {
    const outcomes = yield* steps;
    this.#isApplying = false;
    this.#op = op;
    return outcomes;
  }

  /** Not while another snapshot is being read, and not in the midst of an entry. */
  get canBeRead(): boolean {
    return !this.#isBeingRead && !this.#isApplying;
  }

  /** The state as of now, to be closed in any case. */
  snapshot(): StateStream & { op: number } {
    assert(this.canBeRead, "one snapshot at a time, and of a whole state");
    this.#isBeingRead = true;
    let isOpen = true;
    const sessions = this.#sessions.encode();
    const stream = this.machine.snapshot();
    const parts = async function* () {
      for (const [index, chunk] of sessions.entries()) {
        yield* partsOf(index === 0 ? Part.sessionsHead : Part.sessions, chunk);
      }
      for await (const chunk of stream.chunks) yield* partsOf(Part.service, chunk);
    };
    const close = () => {
      if (!isOpen) return;
      isOpen = this.#isBeingRead = false;
      stream.close();
    };
    return { op: this.#op, chunks: parts(), close };
  }

  /** Rebuilds the state that a snapshot of `op` holds; nothing changes before `finish`. */
  restore(): ServiceRestorer {
    const sessions = new SessionTable();
    const machine = this.machine.restore();
    let hasSessions = false;
    let pieces: Uint8Array[] = [];
    return {
      add: (part) => {
        const kind = part[0];
        if (kind === Part.piece) {
          pieces.push(part.slice(1));
          return;
        }
        const chunk = pieces.length === 0 ? part.subarray(1) : Buffer.concat([...pieces, part.subarray(1)]);
        pieces = [];
        if (kind === Part.service) machine.add(chunk);
        else if (kind === Part.sessionsHead || kind === Part.sessions) {
          sessions.decode(chunk, kind === Part.sessionsHead);
          hasSessions = true;
        } else throw new WireError(`a snapshot has no part of kind ${kind}`);
      },
      finish: (op) => {
        if (!hasSessions) throw new WireError("a snapshot has no sessions");
        if (pieces.length > 0) throw new WireError("a snapshot ends within a chunk");
        machine.finish();
        this.#sessions = sessions;
        this.#op = op;
        this.#isApplying = false;
      },
      abandon: () => machine.abandon(),
    };
  }
}

function* partsOf(kind: number, chunk: Uint8Array): Generator<Uint8Array> {
  let at = 0;
  for (; chunk.byteLength - at >= PART_BYTES_MAX; at += PART_BYTES_MAX - 1)
    yield partOf(Part.piece, chunk.subarray(at, at + PART_BYTES_MAX - 1));
  yield partOf(kind, chunk.subarray(at));
}

function partOf(kind: number, chunk: Uint8Array): Uint8Array {
  const part = new Uint8Array(1 + chunk.byteLength);
  part[0] = kind;
  part.set(chunk, 1);
  return part;
}
