/**
 * Which watches a changed key concerns.
 *
 * Invariant: a watch is found by every key of its present read set, and by every key that begins with one of its prefixes, and
 * by nothing else. One look-up per key, and one per length of prefix that anybody has.
 */
import { nameOf } from "../../wire/key-name.ts";
import type { Watch } from "./watch.ts";

export class WatchIndex {
  readonly #byKey = new Map<string, Set<Watch>>();
  readonly #byPrefix = new Map<string, Set<Watch>>();
  /** How many prefixes there are of each length. */
  readonly #lengths = new Map<number, number>();

  get keys(): number {
    return this.#byKey.size;
  }

  /** Whether a change could concern anybody. */
  get isUsed(): boolean {
    return this.#byKey.size > 0 || this.#byPrefix.size > 0;
  }

  add(watch: Watch): void {
    for (const name of watch.names) put(this.#byKey, name, watch);
    for (const prefix of watch.prefixes) {
      if (!put(this.#byPrefix, prefix, watch)) continue;
      this.#lengths.set(prefix.length, (this.#lengths.get(prefix.length) ?? 0) + 1);
    }
  }

  remove(watch: Watch): void {
    for (const name of watch.names) take(this.#byKey, name, watch);
    for (const prefix of watch.prefixes) {
      if (!take(this.#byPrefix, prefix, watch)) continue;
      const left = (this.#lengths.get(prefix.length) ?? 1) - 1;
      if (left === 0) this.#lengths.delete(prefix.length);
      else this.#lengths.set(prefix.length, left);
    }
  }

  /** One of those who watch a key. */
  any(key: Uint8Array): Watch | undefined {
    if (this.#byKey.size === 0) return undefined;
    const [first] = this.#byKey.get(nameOf(key)) ?? [];
    return first;
  }

  onChange(timestamp: number, keys: readonly Uint8Array[]): void {
    if (!this.isUsed) return;
    for (const key of keys) {
      const name = nameOf(key);
      for (const watch of this.#byKey.get(name) ?? []) watch.onChange(timestamp);
      for (const length of this.#lengths.keys())
        for (const watch of this.#byPrefix.get(name.slice(0, length)) ?? []) watch.onChange(timestamp);
    }
  }
}

/** Returns whether it is the first of this name. */
function put(sets: Map<string, Set<Watch>>, name: string, watch: Watch): boolean {
  const found = sets.get(name);
  if (found === undefined) sets.set(name, new Set([watch]));
  else found.add(watch);
  return found === undefined;
}

/** Returns whether it was the last of this name. */
function take(sets: Map<string, Set<Watch>>, name: string, watch: Watch): boolean {
  const found = sets.get(name);
  if (found?.delete(watch) !== true || found.size > 0) return false;
  return sets.delete(name);
}
