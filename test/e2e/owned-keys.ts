/**
 * The checker of the crash tests: writers that own their keys, so that what each key may hold is known exactly.
 *
 * A writer sends batches of commands down one connection. The node executes and logs a connection's commands in order,
 * so after a crash the keys must show the state after some command of the batch: not before the last one that was
 * acknowledged, nor before one whose value a reader saw. EXEC, MSET, RENAME and FLUSHDB count as one step.
 */
import type { Random } from "../../src/core/seams/random.ts";
import { encode, type RawClient } from "../channels/wire/resp/raw.ts";

const KEYS = 4;
const BATCH_MAX = 8;

type State = ReadonlyMap<string, string>;

interface Step {
  commands: string[][];
  after: State;
}

export class OwnedKeys {
  readonly channel: string;
  readonly keys: string[];
  /** States that the keys may show: after the last acknowledged step, then after each later one. */
  #possible: State[] = [new Map()];
  /** Number of the step that led to the first of them. */
  #first = 0;
  acknowledged = 0;
  /** Makes values unique. */
  #version = 0;
  readonly #random: Random;
  readonly #valueBytesMax: number;

  constructor(index: number, random: Random, valueBytesMax: number) {
    this.channel = `writer-${index}`;
    this.keys = Array.from({ length: KEYS }, (_, key) => `w${index}k${key}`);
    this.#random = random;
    this.#valueBytesMax = valueBytesMax;
  }

  /** Sends one batch and waits for its replies; throws when the connection breaks or an unexpected reply comes. */
  async writeBatch(client: RawClient): Promise<void> {
    const steps: Step[] = [];
    let state = this.#possible.at(-1) as State;
    for (let count = 1 + this.#random.integer(BATCH_MAX); count > 0; count--) {
      const step = this.#nextStep(state);
      steps.push(step);
      state = step.after;
    }
    let number = this.#first + this.#possible.length;
    this.#possible.push(...steps.map((step) => step.after));
    client.send(Buffer.concat(steps.flatMap((step) => step.commands.map((words) => encode(words)))));
    for (const step of steps) {
      const replies = await client.replies(step.commands.length);
      if (replies.length < step.commands.length) throw new Error("connection closed");
      const refusal = replies.find((reply) => reply.toString("latin1").startsWith("-"));
      if (refusal !== undefined) throw new Error(`refused: ${refusal.toString("latin1").trim()}`);
      this.#atLeast(number++);
      this.acknowledged++;
    }
  }

  /** States before step `number` are no longer possible. */
  #atLeast(number: number): void {
    if (number <= this.#first) return;
    this.#possible.splice(0, number - this.#first);
    this.#first = number;
  }

  #value(): string {
    return `${++this.#version}:${"x".repeat(this.#random.integer(this.#valueBytesMax))}`;
  }

  #key(): string {
    return this.keys[this.#random.integer(KEYS)] as string;
  }

  #nextStep(state: State): Step {
    const key = this.#key();
    const after = new Map(state);
    switch (this.#random.integer(9)) {
      case 0: {
        const commands: string[][] = [["MULTI"]];
        for (const each of this.keys) {
          const value = this.#value();
          after.set(each, value);
          commands.push(["SET", each, value]);
        }
        return { commands: [...commands, ["EXEC"]], after };
      }
      case 1:
        after.delete(key);
        return { commands: [["DEL", key]], after };
      case 2: {
        const added = `+${++this.#version}:`;
        after.set(key, (state.get(key) ?? "").slice(-this.#valueBytesMax) + added);
        // A bounded APPEND: the value is cut first, in the same transaction.
        if ((state.get(key) ?? "").length <= this.#valueBytesMax)
          return { commands: [["APPEND", key, added]], after };
        const cut = (state.get(key) ?? "").slice(-this.#valueBytesMax);
        return { commands: [["MULTI"], ["SET", key, cut], ["APPEND", key, added], ["EXEC"]], after };
      }
      case 3: {
        const words = ["MSET"];
        for (const each of this.keys.slice(0, 2)) {
          const value = this.#value();
          after.set(each, value);
          words.push(each, value);
        }
        return { commands: [words], after };
      }
      case 4: {
        // Only upwards, so that a value never comes back to a key: `saw` relies on it.
        const [from, other] = [key, this.#key()].sort() as [string, string];
        const value = state.get(from);
        if (value === undefined || other === from) break;
        after.delete(from);
        after.set(other, value);
        return { commands: [["RENAME", from, other]], after };
      }
      case 5:
        if (this.#random.integer(4) > 0) break;
        after.clear();
        return { commands: [["FLUSHDB"]], after };
    }
    const value = this.#value();
    after.set(key, value);
    return { commands: [["SET", key, value]], after };
  }

  /** A value that a reader saw: a state that holds it, or a later one, must survive. */
  saw(key: string, value: string): void {
    // Values are unique, and a reader's look is never older than what was acknowledged before it began.
    const index = this.#possible.findIndex((state) => state.get(key) === value);
    if (index > 0) this.#atLeast(this.#first + index);
  }

  /** Compares with what the node holds and goes on from there. Returns what is wrong. */
  check(found: State, records: number): string[] {
    const isFound = (state: State) => this.keys.every((key) => state.get(key) === found.get(key));
    const candidates = this.#possible;
    this.#possible = [found];
    const problems: string[] = [];
    if (!candidates.some(isFound)) {
      problems.push(`${this.channel}: found ${brief(found)}, allowed ${candidates.map(brief).join(" | ")}`);
    }
    if (records !== found.size)
      problems.push(`${this.channel}: holds ${records} records, ${found.size} are known`);
    return problems;
  }
}

function brief(state: State): string {
  return `{${[...state]
    .sort()
    .map(([key, value]) => `${key}=${value.slice(0, 12)}`)
    .join(" ")}}`;
}
