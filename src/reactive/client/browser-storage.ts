/**
 * The log of a client in a browser: the local storage of its page's origin.
 *
 * Every open tab has a log of its own, a slot: the first one that no other tab holds. What a tab left behind when it was closed is
 * found by the others (`takeLeft`), or by the next tab that gets its slot.
 *
 * Invariant: a slot is written by who holds its lock and by nobody else. Locks go with their tab, however it ends.
 */
import { deferred } from "./deferred.ts";
import { type LogStorage, memoryStorage } from "./storage.ts";

/** What of a browser's Storage is used. */
interface TextStorage {
  readonly length: number;
  key(index: number): string | null;
  getItem(key: string): string | null;
  setItem(key: string, value: string): void;
  removeItem(key: string): void;
}

interface LockManager {
  request(
    name: string,
    options: { ifAvailable: boolean },
    callback: (lock: unknown) => Promise<void> | void,
  ): Promise<unknown>;
  query(): Promise<{ held?: { name?: string }[] }>;
}

const SLOTS_MAX = 64;

/**
 * Local storage of the page's origin, in pages that are secure: https, or from this host. Elsewhere there are no locks, tabs
 * cannot be told apart, and the log ends with its page.
 */
export function browserStorage(
  name: string,
  storage: TextStorage = (globalThis as unknown as { localStorage: TextStorage }).localStorage,
  locks: LockManager | undefined = (globalThis as unknown as { navigator?: { locks?: LockManager } })
    .navigator?.locks,
): LogStorage {
  return locks === undefined
    ? memoryStorage()
    : new BrowserStorage(new Slots(`node-x:${name}`, storage, locks), undefined);
}

interface HeldSlot {
  index: number;
  release(): void;
}

/** The slots of one name: which there are, which are held, and what is in them. */
class Slots {
  readonly #name: string;
  readonly #storage: TextStorage;
  readonly #locks: LockManager;

  constructor(name: string, storage: TextStorage, locks: LockManager) {
    this.#name = name;
    this.#storage = storage;
    this.#locks = locks;
  }

  /** Undefined: somebody else has it. */
  async take(index: number): Promise<HeldSlot | undefined> {
    const held = deferred<void>();
    const taken = deferred<boolean>();
    const request = this.#locks.request(`${this.#name}:${index}`, { ifAvailable: true }, (lock) => {
      taken.resolve(lock !== null);
      return lock === null ? undefined : held.promise;
    });
    request.catch(() => taken.resolve(false));
    return (await taken.promise) ? { index, release: () => held.resolve() } : undefined;
  }

  async takeFirst(): Promise<HeldSlot> {
    for (let index = 0; index < SLOTS_MAX; index++) {
      const slot = await this.take(index);
      if (slot !== undefined) return slot;
    }
    throw new Error(`${SLOTS_MAX} tabs have the log "${this.#name}" open`);
  }

  /** Those that nobody holds and something is in. */
  async left(): Promise<number[]> {
    const { held = [] } = await this.#locks.query();
    const names = new Set(held.map((lock) => lock.name));
    return Array.from({ length: SLOTS_MAX }, (_, index) => index).filter(
      (index) => !names.has(`${this.#name}:${index}`) && this.keys(index).length > 0,
    );
  }

  /** Of its entries, oldest first. */
  keys(index: number): string[] {
    const prefix = this.#prefixOf(index);
    return Array.from({ length: this.#storage.length }, (_, place) => this.#storage.key(place) ?? "")
      .filter((key) => key.startsWith(prefix))
      .sort();
  }

  lines(index: number): string[] {
    return this.keys(index).reduce<string[]>((lines, key) => {
      const entry = this.#storage.getItem(key) ?? "";
      // An entry is one line more, or all that there are.
      return entry.startsWith("+") ? [...lines, entry.slice(1)] : (JSON.parse(entry) as string[]);
    }, []);
  }

  /** The number behind that of the last entry. */
  next(index: number): number {
    return Number(this.keys(index).at(-1)?.slice(this.#prefixOf(index).length) ?? -1) + 1;
  }

  write(index: number, entry: number, text: string): void {
    this.#storage.setItem(this.#prefixOf(index) + String(entry).padStart(12, "0"), text);
  }

  remove(keys: readonly string[]): void {
    for (const key of keys) this.#storage.removeItem(key);
  }

  #prefixOf(index: number): string {
    return `${this.#name}:${index}:`;
  }
}

class BrowserStorage implements LogStorage {
  readonly #slots: Slots;
  #slot: HeldSlot | undefined;
  #next = 0;
  /** Free at the last look. */
  #left: readonly number[] = [];

  /** `slot`: one that is held already; absent: `load` takes one. */
  constructor(slots: Slots, slot: HeldSlot | undefined) {
    this.#slots = slots;
    this.#slot = slot;
  }

  async load(): Promise<string[]> {
    this.#slot ??= await this.#slots.takeFirst();
    const { index } = this.#slot;
    this.#next = this.#slots.next(index);
    return this.#slots.lines(index);
  }

  get #index(): number {
    if (this.#slot === undefined) throw new Error("the log is not open");
    return this.#slot.index;
  }

  async append(line: string): Promise<void> {
    this.#slots.write(this.#index, this.#next++, `+${line}`);
  }

  async replace(lines: readonly string[]): Promise<void> {
    // The new entry makes those before it void, so a crash before they are gone changes nothing.
    const old = this.#slots.keys(this.#index);
    this.#slots.write(this.#index, this.#next++, JSON.stringify(lines));
    this.#slots.remove(old);
  }

  async takeLeft(isWanted: (lines: readonly string[]) => boolean): Promise<LogStorage | undefined> {
    const before = new Set(this.#left);
    this.#left = await this.#slots.left();
    for (const index of this.#left) {
      // A page that is loaded again gets its own log back: only what is free for longer was left.
      if (!before.has(index) || !isWanted(this.#slots.lines(index))) continue;
      const slot = await this.#slots.take(index);
      if (slot !== undefined) return new BrowserStorage(this.#slots, slot);
    }
    return undefined;
  }

  async close(): Promise<void> {
    this.#slot?.release();
    this.#slot = undefined;
  }
}
