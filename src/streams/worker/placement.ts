/** Which worker has which key, by number, in one epoch. Answers are remembered, because hashing costs more than a look. */
import { hashOf, ownerOf, type Ring } from "../state/ring.ts";

const REMEMBERED_MAX = 1 << 20;

export class Placement {
  readonly self: number;
  readonly #ring: Ring;
  readonly #numbers: Map<string, number>;
  readonly #owners = new Map<string, number>();
  /** The worker that has all keys, if there is one. */
  readonly #only: number | undefined;

  constructor(ring: Ring, names: readonly string[], self: number) {
    this.self = self;
    this.#ring = ring;
    this.#numbers = new Map(names.map((name, index) => [name, index]));
    const [first] = ring;
    if (ring.length <= 1) this.#only = first === undefined ? self : (this.#numbers.get(first.owner) ?? self);
  }

  ownerOf(key: string): number {
    if (this.#only !== undefined) return this.#only;
    const known = this.#owners.get(key);
    if (known !== undefined) return known;
    const owner = this.#numbers.get(ownerOf(this.#ring, hashOf(key))) ?? this.self;
    if (this.#owners.size >= REMEMBERED_MAX) this.#owners.clear();
    this.#owners.set(key, owner);
    return owner;
  }
}
