/**
 * Reads as of now, of many callers in few requests.
 *
 * Invariant: every request is sent after all its callers asked: callers that come while enough are under way wait for the next one. An
 * answer from before could be older than what was acknowledged meanwhile.
 */
import { nameOf } from "../../wire/key-name.ts";
import type { Cell } from "./bytes.ts";

/** Keys as of one revision. */
export interface Cells {
  revision: number;
  horizon: number;
  cells: Cell[];
}

interface Caller {
  keys: readonly Uint8Array[];
  resolve(cells: Cells): void;
  reject(error: unknown): void;
}

/** One gathers the most callers, more wait less. */
const UNDER_WAY_MAX = 2;

export class FreshReads {
  readonly #ask: (keys: Uint8Array[]) => Promise<Cells>;
  readonly #keysMax: number;
  #waiting: Caller[] = [];
  #underWay = 0;

  /** `ask`: one request, of `keysMax` keys at most. */
  constructor(ask: (keys: Uint8Array[]) => Promise<Cells>, keysMax: number) {
    this.#ask = ask;
    this.#keysMax = keysMax;
  }

  /** No more than `keysMax` keys; none: only the revision is of interest. */
  read(keys: readonly Uint8Array[]): Promise<Cells> {
    return new Promise((resolve, reject) => {
      this.#waiting.push({ keys, resolve, reject });
      this.#next();
    });
  }

  #next(): void {
    if (this.#waiting.length === 0 || this.#underWay >= UNDER_WAY_MAX) return;
    const { callers, places, keys } = this.#gather();
    this.#underWay += 1;
    this.#ask(keys)
      .then(
        (found) => {
          const cellOf = (key: Uint8Array) => found.cells[places.get(nameOf(key)) as number] as Cell;
          for (const { keys: own, resolve } of callers) resolve({ ...found, cells: own.map(cellOf) });
        },
        (error: unknown) => {
          for (const { reject } of callers) reject(error);
        },
      )
      .finally(() => {
        this.#underWay -= 1;
        this.#next();
      });
  }

  /** As many callers as one request takes, each key once. */
  #gather(): { callers: Caller[]; places: Map<string, number>; keys: Uint8Array[] } {
    const callers: Caller[] = [];
    const places = new Map<string, number>();
    const keys: Uint8Array[] = [];
    for (const caller of this.#waiting) {
      const added = caller.keys.filter((key) => !places.has(nameOf(key)));
      if (keys.length + added.length > this.#keysMax) break;
      callers.push(caller);
      for (const key of added) {
        if (!places.has(nameOf(key))) places.set(nameOf(key), keys.push(key) - 1);
      }
    }
    this.#waiting.splice(0, callers.length);
    return { callers, places, keys };
  }
}
