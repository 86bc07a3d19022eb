/**
 * What a shard tells those who follow it: which keys were changed at which commit timestamp, in the order in which that
 * became visible.
 *
 * Invariant: positions are those of the group's log, so every replica gives an event the same one and a follower goes on after
 * a change of the primary where it stopped. Whoever asks for a position that is no longer kept is told so and reads again;
 * nothing is left out silently. Rebuilt from the snapshot's position after a restart: followers from before it are told the
 * same.
 */
export interface Change {
  /** Of the log entry. */
  position: number;
  timestamp: number;
  keys: Uint8Array[];
}

export class Feed {
  readonly #keysMax: number;
  #changes: Change[] = [];
  #first = 0;
  #keys = 0;
  /** Everything behind this position is here. */
  #completeAfter: number;

  /** `position`: of the state that it begins with. `keysMax`: kept at most. */
  constructor(position: number, keysMax: number) {
    this.#completeAfter = position;
    this.#keysMax = keysMax;
  }

  add(change: Change): void {
    this.#changes.push(change);
    this.#keys += change.keys.length;
    while (this.#keys > this.#keysMax && this.#first < this.#changes.length - 1) {
      const gone = this.#changes[this.#first++] as Change;
      this.#keys -= gone.keys.length;
      this.#completeAfter = gone.position;
    }
    if (this.#first > 1024 && this.#first * 2 > this.#changes.length) {
      this.#changes = this.#changes.slice(this.#first);
      this.#first = 0;
    }
  }

  /** The position of the newest change that it has. */
  get last(): number {
    return this.#changes.at(-1)?.position ?? this.#completeAfter;
  }

  /** The changes behind a position, about `keysMax` keys of them; undefined when some are no longer kept. */
  after(position: number, keysMax: number): Change[] | undefined {
    if (position < this.#completeAfter) return undefined;
    const found: Change[] = [];
    let keys = 0;
    for (let index = this.#search(position); index < this.#changes.length; index++) {
      const change = this.#changes[index] as Change;
      // The changes of one entry stay together: a position names all of them.
      if (keys >= keysMax && change.position !== found.at(-1)?.position) break;
      found.push(change);
      keys += change.keys.length;
    }
    return found;
  }

  /** Index of the first change behind a position. */
  #search(position: number): number {
    let low = this.#first;
    let high = this.#changes.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((this.#changes[middle] as Change).position > position) high = middle;
      else low = middle + 1;
    }
    return low;
  }
}
