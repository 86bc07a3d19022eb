/**
 * What a group replicates as a whole: the service and the table of sessions, with one snapshot for both.
 *
 * Invariant: both are at the same op. A snapshot is a series of parts, each one byte and a chunk: 1 first chunk of the
 * sessions, 2 another one, 3 a chunk of the service. There is one at a time, for the journal or for another replica: a machine
 * keeps what a snapshot shows until it is closed. A crash takes everything here; the journal brings it back.
 */
import { assert } from "../../core/errors.ts";
import { WireError } from "../wire/bytes.ts";
import { SessionTable, type Outcome } from "./sessions.ts";
import type { Entry, StateMachine, StateRestorer, StateStream } from "./types.ts";

const Part = { sessionsHead: 1, sessions: 2, service: 3 } as const;

export interface ServiceRestorer extends Omit<StateRestorer, "finish"> {
  finish(op: number): void;
}

export class Service {
  readonly machine: StateMachine;
  #sessions = new SessionTable();
  /** The last entry that was applied. */
  #op = 0;
  #isBeingRead = false;

  constructor(machine: StateMachine) {
    this.machine = machine;
  }

  get op(): number {
    return this.#op;
  }

  get sessions(): SessionTable {
    return this.#sessions;
  }

  apply(entry: Entry): Outcome[] {
    const outcomes = this.#sessions.apply(entry, this.machine);
    this.#op = entry.op;
    return outcomes;
  }

  /** Whether a snapshot is being read: another one has to wait. */
  get isBeingRead(): boolean {
    return this.#isBeingRead;
  }

  /** The state as of now, to be closed in any case. */
  snapshot(): StateStream & { op: number } {
    assert(!this.#isBeingRead, "one snapshot at a time");
    this.#isBeingRead = true;
    let isOpen = true;
    const sessions = this.#sessions.encode();
    const stream = this.machine.snapshot();
    const parts = async function* () {
      for (const [index, chunk] of sessions.entries()) {
        yield partOf(index === 0 ? Part.sessionsHead : Part.sessions, chunk);
      }
      for await (const chunk of stream.chunks) yield partOf(Part.service, chunk);
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
    return {
      add: (part) => {
        const kind = part[0];
        const chunk = part.subarray(1);
        if (kind === Part.service) machine.add(chunk);
        else if (kind === Part.sessionsHead || kind === Part.sessions) {
          sessions.decode(chunk, kind === Part.sessionsHead);
          hasSessions = true;
        } else throw new WireError(`a snapshot has no part of kind ${kind}`);
      },
      finish: (op) => {
        if (!hasSessions) throw new WireError("a snapshot has no sessions");
        machine.finish();
        this.#sessions = sessions;
        this.#op = op;
      },
      abandon: () => machine.abandon(),
    };
  }
}

function partOf(kind: number, chunk: Uint8Array): Uint8Array {
  const part = new Uint8Array(1 + chunk.byteLength);
  part[0] = kind;
  part.set(chunk, 1);
  return part;
}
