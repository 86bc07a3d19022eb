/**
 * The state that one run of a transaction's code sees: versions of keys, all as of one timestamp, which is chosen when the first of
 * them is read. Reads that come while it is chosen wait for it.
 */
import type { Version } from "./execution.ts";
import { listKeys } from "./listing.ts";
import type { Ask, StoreView } from "./store-view.ts";
import type { Entry } from "./transaction-handle.ts";

/**
 * `seen`: the newest that this client knows, where the cache has it: for who is checked later. `fresh`: everything that is
 * acknowledged to anybody. A number: that timestamp.
 */
export type Moment = "seen" | "fresh" | number;

/** Keys that are asked for at once. */
const PAGE = 1000;

export type ReadAt = (keys: string[], timestamp: number) => Promise<Version[]>;

export class Snapshot {
  readonly #view: StoreView;
  readonly #ask: Ask;
  readonly #read: ReadAt;
  readonly #isFresh: boolean;
  #timestamp: number;
  #first: Promise<Version[]> | undefined;

  /** `read`: how versions at the timestamp are found; absent: as the view does. */
  constructor(view: StoreView, ask: Ask, moment: Moment, read?: ReadAt) {
    this.#view = view;
    this.#ask = ask;
    this.#read = read ?? ((keys, timestamp) => view.read(keys, timestamp, ask));
    this.#isFresh = moment === "fresh";
    if (moment === "fresh") this.#timestamp = 0;
    else this.#timestamp = moment === "seen" ? view.seen : moment;
    // A moment that is given is not chosen any more.
    if (typeof moment === "number") this.#first = Promise.resolve([]);
  }

  /** 0: nothing has chosen it yet. */
  get timestamp(): number {
    return this.#timestamp;
  }

  readonly load = async (keys: string[]): Promise<Version[]> => {
    if (this.#first === undefined) {
      this.#first = this.#loadFirst(keys);
      return this.#first;
    }
    await this.#first;
    return this.#read(keys, this.#timestamp);
  };

  /** Everything under a prefix. */
  readonly scan = async (prefix: string, limit: number): Promise<Entry[]> => {
    this.#first ??= this.begin().then(() => []);
    await this.#first;
    const entries: Entry[] = [];
    for (let isMore = true; isMore;) {
      const after = entries.at(-1)?.key ?? "";
      const page = await listKeys(this.#ask, prefix, { at: this.#timestamp, after, limit: PAGE });
      entries.push(...page.entries);
      ({ isMore } = page);
      if (entries.length > limit)
        throw new RangeError(`more than ${limit} keys begin with "${prefix}": list a longer prefix`);
    }
    return entries;
  };

  /** Chooses a fresh timestamp, where nothing was read. */
  async begin(): Promise<void> {
    const answer = await this.#ask({ type: "begin" });
    if (answer.type !== "begun") throw new Error(`a frontend answered a begin with "${answer.type}"`);
    this.#view.see(answer.at);
    this.#timestamp = answer.at;
  }

  async #loadFirst(keys: string[]): Promise<Version[]> {
    const view = this.#view;
    const isKnown = keys.every((key) => view.cache.at(key, this.#timestamp) !== undefined);
    if (!this.#isFresh && this.#timestamp > 0 && isKnown) return this.#read(keys, this.#timestamp);
    // A frontend has to be asked anyway: then for the newest.
    const { timestamp, versions } = await view.readFresh(keys, this.#ask);
    this.#timestamp = timestamp;
    return versions;
  }
}
