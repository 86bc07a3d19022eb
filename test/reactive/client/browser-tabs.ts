/** A browser's storage and locks, shared by its tabs. */
import { browserStorage } from "../../../src/reactive/client/browser-storage.ts";

export function browser() {
  const items = new Map<string, string>();
  const held = new Set<string>();
  const storage = {
    get length() {
      return items.size;
    },
    key: (index: number) => [...items.keys()][index] ?? null,
    getItem: (key: string) => items.get(key) ?? null,
    setItem: (key: string, value: string) => void items.set(key, value),
    removeItem: (key: string) => void items.delete(key),
  };
  const locks = {
    async request(name: string, _options: unknown, callback: (lock: unknown) => Promise<void> | void) {
      if (held.has(name)) return callback(null);
      held.add(name);
      await callback({});
      held.delete(name);
    },
    query: async () => ({ held: [...held].map((name) => ({ name })) }),
  };
  return { items, held, tab: () => browserStorage("game", storage, locks) };
}
