/**
 * The service that simulations replicate: lists by key. A command appends a value and answers with the list; an empty
 * value only reads. Lists of unique values show the whole order of what happened to a key, so checkers can be exact. Some entries are
 * applied in steps; whoever looks in between is found out.
 */
import { assert } from "../../../src/core/errors.ts";
import type { Steps } from "../../../src/reactive/replication/steps.ts";
import { ByteReader, ByteWriter } from "../../../src/reactive/wire/bytes.ts";
import type {
  Batch,
  StateMachine,
  StateRestorer,
  StateStream,
} from "../../../src/reactive/replication/types.ts";

export interface ListCommand {
  key: number;
  /** 0: only a read. */
  value: number;
}

export function encodeCommand({ key, value }: ListCommand): Uint8Array {
  return new ByteWriter(16).u64(key).u64(value).done();
}

function decodeCommand(bytes: Uint8Array): ListCommand {
  const reader = new ByteReader(bytes);
  return { key: reader.u64(), value: reader.u64() };
}

export function decodeList(bytes: Uint8Array): number[] {
  return new ByteReader(bytes).numbers(1_000_000);
}

/** Of so many entries one is applied in steps. */
const IN_STEPS = 3;

export class ListMachine implements StateMachine {
  lists = new Map<number, number[]>();
  #isHalfway = false;
  /** Called for each batch before it is applied. */
  onApply: (batch: Batch) => void = () => {};
  /** Called when another state takes the place of this one, which is in the midst of an entry. */
  onReplaced: () => void = () => {};

  apply(batch: Batch): Uint8Array[] | Steps<Uint8Array[]> {
    assert(!this.#isHalfway, "one entry after the other");
    this.onApply(batch);
    this.#isHalfway = batch.op % IN_STEPS === 0;
    if (this.#isHalfway) return this.#applyInSteps(batch);
    return batch.commands.map(({ body }) => this.#run(body));
  }

  *#applyInSteps({ commands }: Batch): Steps<Uint8Array[]> {
    const replies: Uint8Array[] = [];
    for (const { body } of commands) {
      yield;
      replies.push(this.#run(body));
    }
    yield;
    this.#isHalfway = false;
    return replies;
  }

  #run(body: Uint8Array): Uint8Array {
    const { key, value } = decodeCommand(body);
    if (value > 0) this.lists.set(key, [...(this.lists.get(key) ?? []), value]);
    return this.#read(key);
  }

  query(body: Uint8Array): Uint8Array {
    assert(!this.#isHalfway, "nothing is read that is half applied");
    return this.#read(decodeCommand(body).key);
  }

  #read(key: number): Uint8Array {
    return new ByteWriter().numbers(this.lists.get(key) ?? []).done();
  }

  /** Equal for equal states. */
  get fingerprint(): string {
    return [...this.lists].sort(([a], [b]) => a - b).map(([key, list]) => `${key}:${list.join()}`).join(" "); // prettier-ignore
  }

  snapshot(): StateStream {
    assert(!this.#isHalfway, "nothing is read that is half applied");
    const chunks = [...this.lists].map(([key, list]) => new ByteWriter().u64(key).numbers(list).done());
    return { chunks, close: () => {} };
  }

  restore(): StateRestorer {
    const lists = new Map<number, number[]>();
    return {
      add(chunk) {
        const reader = new ByteReader(chunk);
        lists.set(reader.u64(), reader.numbers(1_000_000));
        reader.end();
      },
      finish: () => {
        if (this.#isHalfway) this.onReplaced();
        this.lists = lists;
        this.#isHalfway = false;
      },
      abandon: () => {},
    };
  }
}
