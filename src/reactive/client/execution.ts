/**
 * One run of a transaction's code: what it read, what it wants to write, and what it sees of both.
 *
 * Invariant: all reads of a run are answered by versions of one timestamp, whatever order and batches they come in, with the
 * run's own operations applied on top; read committed, each key by one version. What must be checked at the commit is exactly what the run looked at: a value
 * that it wrote itself before is none of it. Keeps nothing that must survive.
 */
import { type Part, PartKind } from "../../native/version-values.ts";
import { applyOperation } from "../shard/apply.ts";
import { canonicalValue, encodeOperations, type Operation, type Value } from "../shard/operations.ts";
import type { Access } from "../shard/transaction.ts";
import type { Entry, SnapshotReader, Writer } from "./transaction-handle.ts";
import { toUtf8 } from "./types/encodings.ts";

/** One version of a key, as it was read. */
export interface Version {
  /** Commit timestamp of the version, 0: there never was one. */
  start: number;
  /** It is known to hold up to this timestamp, this one included. */
  end: number;
  value: Value;
}

export interface Execution extends Writer, SnapshotReader {
  /** Keys that were read from the store, with their versions. */
  readonly versions: ReadonlyMap<string, Version>;
  readonly operations: ReadonlyMap<string, readonly Operation[]>;
  /** Those that were listed. */
  readonly prefixes: ReadonlySet<string>;
  /** What to send to be committed; empty: there is nothing to check and nothing to write. */
  accesses(): Access[];
  /** Ends it: later use of the handle throws. */
  close(): void;
}

/** The versions of these keys, all as of the execution's timestamp, in their order. */
export type LoadVersions = (keys: string[]) => Promise<Version[]>;

export interface ExecutionOptions {
  load: LoadVersions;
  /** Entries under a prefix, as of the execution's timestamp. */
  scan?: (prefix: string, limit: number) => Promise<Entry[]>;
  uniqueName(): string;
  isReadOnly?: boolean;
  /** What it reads is not checked at its commit: read committed. */
  isUnchecked?: boolean;
  /** What is not committed yet and shall be seen all the same. */
  pending?: (key: string) => readonly Operation[];
}

const partName = ({ kind, data }: Part) => `${kind}:${data.join()}`;

const LIST_MAX = 10_000;

const isAbsolute = ({ kind }: Operation) => kind === "put" || kind === "delete";

class RunningExecution implements Execution {
  readonly versions = new Map<string, Version>();
  readonly operations = new Map<string, Operation[]>();
  readonly prefixes = new Set<string>();
  readonly #options: ExecutionOptions;
  readonly #looked = new Map<string, Map<string, Part>>();
  #wanted: { keys: Set<string>; done: Promise<void> } | undefined;
  readonly #underWay = new Map<string, Promise<void>>();
  #isClosed = false;

  constructor(options: ExecutionOptions) {
    this.#options = options;
  }

  uniqueName(): string {
    return this.#options.uniqueName();
  }

  async read(key: string, part: Part): Promise<Value> {
    this.#assertOpen();
    const own = this.operations.get(key) ?? [];
    // The first operation says what the whole value is: what the store has does not matter.
    if (own[0] !== undefined && isAbsolute(own[0])) return fold({ type: "absent" }, own);
    this.#look(key, part);
    const version = this.versions.get(key) ?? (await this.#fetched(key));
    const pending = this.#options.pending?.(key) ?? [];
    return fold(version.value, [...pending, ...(this.operations.get(key) ?? [])]);
  }

  async list(prefix: string, limit = LIST_MAX): Promise<Entry[]> {
    this.#assertOpen();
    if (this.#options.scan === undefined) throw new TypeError("only transactions that read can list keys");
    this.prefixes.add(prefix);
    const entries = await this.#options.scan(prefix, limit);
    this.#assertOpen();
    return entries;
  }

  apply(key: string, operation: Operation): void {
    this.#assertOpen();
    if (this.#options.isReadOnly === true) throw new TypeError("a read-only transaction cannot write");
    if (isAbsolute(operation)) this.operations.set(key, [operation]);
    else this.operations.set(key, [...(this.operations.get(key) ?? []), operation]);
  }

  accesses(): Access[] {
    const keys = new Set([...this.#looked.keys(), ...this.operations.keys()]);
    return [...keys].map((key) => {
      const version = this.versions.get(key);
      const own = this.operations.get(key) ?? [];
      return {
        key: toUtf8(key),
        reads: [...(this.#looked.get(key)?.values() ?? [])].flatMap((part) =>
          version === undefined
            ? []
            : [{ part, version: version.start, wasPresent: version.value.type !== "absent" }],
        ),
        operations: own.length === 0 ? new Uint8Array(0) : encodeOperations(own),
      };
    });
  }

  close(): void {
    this.#isClosed = true;
  }

  #look(key: string, part: Part): void {
    if (this.#options.isUnchecked === true) return;
    const parts = this.#looked.get(key) ?? new Map<string, Part>();
    // Who looked at the whole has looked at every part.
    if (parts.size === 1 && parts.has(WHOLE)) return;
    if (part.kind === PartKind.whole) parts.clear();
    parts.set(part.kind === PartKind.whole ? WHOLE : partName(part), part);
    this.#looked.set(key, parts);
  }

  async #fetched(key: string): Promise<Version> {
    await (this.#underWay.get(key) ?? this.#ask(key));
    this.#assertOpen();
    return this.versions.get(key) as Version;
  }

  /** Keys that are asked for in one turn go into one request. */
  #ask(key: string): Promise<void> {
    if (this.#wanted === undefined) {
      const keys = new Set<string>();
      const done = Promise.resolve().then(async () => {
        this.#wanted = undefined;
        const names = [...keys];
        const versions = await this.#options.load(names);
        for (const [index, name] of names.entries()) this.versions.set(name, versions[index] as Version);
      });
      this.#wanted = { keys, done };
    }
    this.#wanted.keys.add(key);
    this.#underWay.set(key, this.#wanted.done);
    return this.#wanted.done;
  }

  #assertOpen(): void {
    if (this.#isClosed)
      throw new TypeError("this transaction is over: await everything that its code does with it");
  }
}

const WHOLE = "whole";

function fold(value: Value, operations: readonly Operation[]): Value {
  return operations.length === 0 ? value : canonicalValue(operations.reduce(applyOperation, value));
}

export function startExecution(options: ExecutionOptions): Execution {
  return new RunningExecution(options);
}
