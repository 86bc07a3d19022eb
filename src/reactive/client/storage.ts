/**
 * The seam to what survives the program: a log of short lines. In a file (Bun, Node), in a browser's local storage, or, to
 * survive nothing, in memory.
 *
 * Invariant: when `append` or `replace` has resolved, the next `load` has it, whatever happened in between; a crash during one
 * of them leaves what was before or what was meant to be.
 */
import { deferred } from "./deferred.ts";
import { LineFile } from "../../core/seams/line-file.ts";

export interface LogStorage {
  /** All lines, oldest first. Nobody else has the log until `close`. */
  load(): Promise<string[]>;
  append(line: string): Promise<void>;
  replace(lines: readonly string[]): Promise<void>;
  close(): Promise<void>;
}

export function memoryStorage(): LogStorage {
  let kept: string[] = [];
  return {
    load: async () => [...kept],
    append: async (line) => void kept.push(line),
    replace: async (lines) => void (kept = [...lines]),
    close: async () => {},
  };
}

/** A file, for Bun and Node. Synced at every line. */
export function fileStorage(path: string): LogStorage {
  return new LineFile(path);
}

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
}

const SLOTS_MAX = 64;

/**
 * Local storage of the page's origin. Every open tab has a log of its own: the first one that no other tab holds. What a tab
 * left behind is taken over by the next tab that is opened.
 */
export function browserStorage(
  name: string,
  storage: TextStorage = (globalThis as unknown as { localStorage: TextStorage }).localStorage,
  locks: LockManager | undefined = (globalThis as unknown as { navigator?: { locks?: LockManager } })
    .navigator?.locks,
): LogStorage {
  let prefix = "";
  let next = 0;
  let release: () => void = () => {};
  const keyOf = (index: number) => prefix + String(index).padStart(12, "0");
  const ownKeys = () =>
    Array.from({ length: storage.length }, (_, index) => storage.key(index) ?? "")
      .filter((key) => key.startsWith(prefix))
      .sort();
  return {
    async load() {
      const slot = await takeSlot(name, locks);
      release = slot.release;
      prefix = `node-x:${name}:${slot.index}:`;
      const keys = ownKeys();
      next = Number(keys.at(-1)?.slice(prefix.length) ?? -1) + 1;
      return keys.reduce<string[]>((lines, key) => {
        const entry = storage.getItem(key) ?? "";
        // An entry is one line more, or all that there are.
        return entry.startsWith("+") ? [...lines, entry.slice(1)] : (JSON.parse(entry) as string[]);
      }, []);
    },
    async append(line) {
      storage.setItem(keyOf(next++), `+${line}`);
    },
    async replace(lines) {
      // The new entry makes those before it void, so a crash before they are gone changes nothing.
      const old = ownKeys();
      storage.setItem(keyOf(next++), JSON.stringify(lines));
      for (const key of old) storage.removeItem(key);
    },
    close: async () => release(),
  };
}

async function takeSlot(
  name: string,
  locks: LockManager | undefined,
): Promise<{ index: string; release(): void }> {
  // Without locks (a page that is not secure) tabs cannot be told apart: each has a log that ends with it.
  if (locks === undefined)
    return { index: `alone-${crypto.getRandomValues(new Uint32Array(1))[0]}`, release() {} };
  for (let index = 0; index < SLOTS_MAX; index++) {
    const held = deferred<void>();
    const taken = deferred<boolean>();
    const request = locks.request(`node-x:${name}:${index}`, { ifAvailable: true }, (lock) => {
      taken.resolve(lock !== null);
      return lock === null ? undefined : held.promise;
    });
    request.catch(() => taken.resolve(false));
    if (await taken.promise) return { index: String(index), release: () => held.resolve() };
  }
  throw new Error(`${SLOTS_MAX} tabs have the log "${name}" open`);
}
