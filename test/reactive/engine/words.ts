/** Short ways to say what a contract asks of an engine. */
import { decodeServerMessage } from "../../../src/reactive/client-wire/codec.ts";
import type { Run } from "../../../src/reactive/client-wire/messages.ts";
import type { CommitResult, Engine, WholeTransaction } from "../../../src/reactive/engines/engine.ts";
import type { Outlet, Watcher } from "../../../src/reactive/frontend/watches/watcher.ts";
import type { ReadVersion } from "../../../src/reactive/shard/query-messages.ts";
import {
  decodeValue,
  encodeOperations,
  type Operation,
  wholePart,
} from "../../../src/reactive/shard/operations.ts";
import { type Access, Level, type Read } from "../../../src/reactive/shard/transaction.ts";
import type { Rig } from "./rigs.ts";

export const key = (text: string) => new Uint8Array(Buffer.from(text));

export const put = (text: string): Operation => ({ kind: "put", value: { type: "bytes", bytes: key(text) } });
export const add = (amount: number): Operation => ({ kind: "add", amount: BigInt(amount) });

/** What a version holds, as a test writes it. */
export function plain({ type, value }: Pick<ReadVersion, "type" | "value">): unknown {
  const read = decodeValue(type, value);
  const text = (bytes: Uint8Array) => Buffer.from(bytes).toString();
  switch (read.type) {
    case "absent":
      return undefined;
    case "bytes":
      return text(read.bytes);
    case "counter":
      return Number(read.count);
    case "list":
    case "set":
      return read.elements.map(text);
    case "map":
      return Object.fromEntries(read.entries.map(([field, content]) => [text(field), text(content)]));
  }
}

let transactions = 0;

export interface Offer {
  level?: Level;
  snapshot?: number;
  /** Versions that were read. */
  reads?: Record<string, ReadVersion | Read[]>;
  writes?: Record<string, Operation[]>;
  number?: number;
}

export function transaction({
  level = Level.strict,
  snapshot = 0,
  reads = {},
  writes = {},
  number,
}: Offer): WholeTransaction {
  const names = new Set([...Object.keys(reads), ...Object.keys(writes)]);
  const readsOf = (read: ReadVersion | Read[]): Read[] =>
    Array.isArray(read) ? read : [{ part: wholePart, version: read.start, wasPresent: read.type !== 0 }];
  const accesses = [...names].map((name): Access => ({
    key: key(name),
    reads: reads[name] === undefined ? [] : readsOf(reads[name]),
    operations: writes[name] === undefined ? new Uint8Array(0) : encodeOperations(writes[name]),
  }));
  return { id: { client: 4711, number: number ?? ++transactions }, floor: 0, level, snapshot, accesses };
}

/** Asks one engine of a rig. */
export class Asking {
  readonly #rig: Rig;
  readonly #engine: Engine;

  constructor(rig: Rig, engine: Engine) {
    this.#rig = rig;
    this.#engine = engine;
  }

  commit(offer: Offer): Promise<CommitResult> {
    return this.#rig.run(this.#engine.commit(transaction(offer)));
  }

  /** Commits what cannot be refused; resolves with its timestamp. */
  async write(writes: Record<string, Operation[]>): Promise<number> {
    const result = await this.commit({ writes });
    if (result.kind !== "committed") throw new Error(`a blind write is ${JSON.stringify(result)}`);
    return result.timestamp;
  }

  async read(names: string[], at?: number): Promise<unknown[]> {
    return (await this.versions(names, at)).map(plain);
  }

  async versions(names: string[], at?: number): Promise<ReadVersion[]> {
    return (await this.#rig.run(this.#engine.read(names.map(key), at))).versions;
  }

  async committed(names: string[]): Promise<unknown[]> {
    return (await this.#rig.run(this.#engine.readCommitted(names.map(key)))).versions.map(plain);
  }

  fresh(): Promise<number> {
    return this.#rig.run(this.#engine.nextTimestamp());
  }
}

/** A client of one frontend: all that it was told. */
export class Reader implements Outlet {
  readonly runs: (Run & { at: number })[] = [];
  readonly progress: number[] = [];
  readonly isCongested = false;
  watcher: Watcher | undefined;

  send(message: Uint8Array): void {
    const told = decodeServerMessage(message);
    if (told.type === "progress") this.progress.push(told.at);
    if (told.type !== "runs") return;
    this.runs.push(...told.runs.map((run) => ({ ...run, at: told.at })));
    this.watcher?.acknowledge(told.at);
  }

  /** What the last run that brought it says of a key. */
  value(name: string): unknown {
    const values = this.runs
      .flatMap((run) => run.values)
      .filter((value) => Buffer.from(value.key).equals(key(name)));
    const last = values.at(-1);
    return last === undefined ? undefined : plain(last);
  }
}

export async function watch(
  rig: Rig,
  frontend: 0 | 1,
  read: { keys?: string[]; prefixes?: string[] },
  at = 0,
): Promise<Reader> {
  const reader = new Reader();
  const watcher = rig.watchings[frontend].open(reader, 4);
  reader.watcher = watcher;
  const { keys = [], prefixes = [] } = read;
  await rig.run(watcher.watch(1, { keys: keys.map(key), prefixes: prefixes.map(key) }, at, 0));
  watcher.pump();
  return reader;
}
