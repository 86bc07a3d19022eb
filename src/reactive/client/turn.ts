/**
 * A transaction's place in line: after it was refused because others were faster, its frontend tells it when it is its turn on the keys that it
 * met them on, with their values, and it is run again then.
 *
 * Invariant: the name that a turn was given for is used once, for the run behind it, or closed. A frontend that knows no turns gives none, and
 * one that is lost takes its turns with it: the transaction is refused again at worst, and asks again.
 */
import { limits, type Settlement } from "../client-wire/messages.ts";
import type { TransactionId } from "../shard/transaction.ts";
import type { Ask, StoreView } from "./store-view.ts";
import type { TransactionNames } from "./transactions.ts";
import { fromUtf8, toUtf8 } from "./types/encodings.ts";

export interface TurnOptions {
  view: StoreView;
  names: TransactionNames;
  hasTurns(): boolean;
  leave(line: number): void;
}

export class Turn {
  readonly #options: TurnOptions;
  /** Those that it was refused for. */
  readonly #keys = new Set<string>();
  /** 0: it was never in line. */
  #line = 0;
  #id: TransactionId | undefined;
  /** How often it was its turn. */
  taken = 0;

  constructor(options: TurnOptions) {
    this.#options = options;
  }

  /** Waits for its turn. Resolves with the timestamp of what was read for it; undefined: there are no turns to wait for. */
  async take(outcome: Settlement, ask: Ask): Promise<number | undefined> {
    const { view, names, hasTurns } = this.#options;
    if (outcome.kind !== "refused" || outcome.key.byteLength === 0 || !hasTurns()) return undefined;
    this.#keys.add(fromUtf8(outcome.key));
    const keys = [...this.#keys].slice(-limits.turnKeysMax);
    const id = this.use() ?? names.open();
    this.#id = id;
    if (this.#line === 0) this.#line = id.number;
    const answer = await ask({ type: "readInTurn", line: this.#line, id, keys: keys.map(toUtf8) });
    if (answer.type !== "values") throw new Error(`a frontend answered a read with "${answer.type}"`);
    view.see(answer.at);
    for (const [index, version] of answer.versions.entries())
      view.learn(keys[index] as string, answer.at, version);
    this.taken += 1;
    return answer.at;
  }

  /** The name of the run that has its turn. */
  use(): TransactionId | undefined {
    const id = this.#id;
    this.#id = undefined;
    return id;
  }

  /** Nothing is tried any more. */
  leave(): void {
    const { names, leave } = this.#options;
    const id = this.use();
    if (id !== undefined) names.close(id);
    if (this.#line !== 0) leave(this.#line);
  }
}
