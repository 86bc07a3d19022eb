/**
 * Tables: keys that begin alike, with the isolation level, the type of value and the rights that hold for all of them.
 *
 * Invariant: a key belongs to the table with the longest prefix that it begins with. Where tables are configured, a key of
 * no table is nobody's to read or write; where none is, all keys are everybody's who may connect.
 */
import { ValueType } from "../../../native/version-values.ts";
import type { TableInfo } from "../../client-wire/messages.ts";
import { decodeOperations, type Operation } from "../../shard/operations.ts";
import { type Access, Level } from "../../shard/transaction.ts";
import { nameOf } from "../../wire/key-name.ts";

/** As configured. */
export interface TableConfig {
  prefix: string;
  level?: keyof typeof Level | undefined;
  type?: Exclude<keyof typeof ValueType, "absent"> | undefined;
  /** Names of principals; `*`: everybody who may connect. */
  read: readonly string[];
  write: readonly string[];
}

/** Why a request is refused; the codes are those of the client protocol. */
export class AccessError extends Error {
  readonly code: "forbidden" | "wrongLevel" | "wrongType";

  constructor(code: AccessError["code"], message: string) {
    super(message);
    this.name = "AccessError";
    this.code = code;
  }
}

interface Table {
  name: string;
  prefix: Uint8Array;
  level: Level | undefined;
  valueType: number;
  readers: ReadonlySet<string>;
  writers: ReadonlySet<string>;
}

const EVERYBODY = "*";
const NOBODY: ReadonlySet<string> = new Set();
const may = (names: ReadonlySet<string>, principal: string) => names.has(EVERYBODY) || names.has(principal);

/** What an operation leaves behind, as far as it says so. */
function typeOf(operation: Operation): number | undefined {
  switch (operation.kind) {
    case "put":
      return ValueType[operation.value.type];
    case "add":
      return ValueType.counter;
    case "append":
    case "setIndex":
      return ValueType.list;
    case "insert":
    case "remove":
      return ValueType.set;
    case "mapSet":
    case "mapDelete":
      return ValueType.map;
    case "delete":
      return undefined;
  }
}

const typeName = (type: number) =>
  Object.entries(ValueType).find(([, code]) => code === type)?.[0] ?? String(type);
const textOf = (key: Uint8Array) => JSON.stringify(new TextDecoder().decode(key.subarray(0, 100)));

export class Tables {
  readonly #byName = new Map<string, Table>();
  /** Of prefixes, longest first. */
  readonly #lengths: readonly number[];

  constructor(tables: readonly TableConfig[]) {
    for (const { prefix: text, level, type, read, write } of tables) {
      const prefix = new TextEncoder().encode(text);
      const name = nameOf(prefix);
      this.#byName.set(name, {
        name,
        prefix,
        level: level === undefined ? undefined : Level[level],
        valueType: type === undefined ? 0 : ValueType[type],
        readers: new Set(read),
        writers: new Set(write),
      });
    }
    this.#lengths = [...new Set([...this.#byName.keys()].map(({ length }) => length))].sort((a, b) => b - a);
  }

  /** What a principal is told of them. */
  infoFor(principal: string): TableInfo[] {
    return [...this.#byName.values()].map(({ prefix, level, valueType, readers, writers }) => ({
      prefix,
      level,
      valueType,
      mayRead: may(readers, principal),
      mayWrite: may(writers, principal),
    }));
  }

  #of(key: Uint8Array): Table | undefined {
    const name = nameOf(key);
    for (const length of this.#lengths) {
      const table = this.#byName.get(name.slice(0, length));
      if (table !== undefined && table.name.length === length) return table;
    }
    return undefined;
  }

  /** Throws AccessError unless the principal may read (write) the key. */
  check(principal: string, right: "read" | "write", key: Uint8Array): Table | undefined {
    if (this.#byName.size === 0) return undefined;
    const table = this.#of(key);
    if (table === undefined) throw new AccessError("forbidden", `${textOf(key)} belongs to no table`);
    if (!may(right === "read" ? table.readers : table.writers, principal))
      throw new AccessError("forbidden", `${principal || "anybody"} may not ${right} ${textOf(key)}`);
    return table;
  }

  mayWrite(principal: string, keys: readonly Uint8Array[]): boolean {
    return this.#byName.size === 0 || keys.every((key) => may(this.#of(key)?.writers ?? NOBODY, principal));
  }

  checkKeys(principal: string, right: "read" | "write", keys: readonly Uint8Array[]): void {
    if (this.#byName.size === 0) return;
    for (const key of keys) this.check(principal, right, key);
  }

  /** Throws AccessError unless the principal may read the keys, and read committed is enough for their tables. */
  checkCommittedRead(principal: string, keys: readonly Uint8Array[]): void {
    if (this.#byName.size === 0) return;
    for (const key of keys) {
      const level = this.check(principal, "read", key)?.level ?? Level.readCommitted;
      if (level > Level.readCommitted) throw wrongLevel(level);
    }
  }

  /** Throws AccessError unless the principal may read every key that begins with `prefix`. */
  checkRange(principal: string, prefix: Uint8Array): void {
    if (this.#byName.size === 0) return;
    if (this.#of(prefix) === undefined)
      throw new AccessError(
        "forbidden",
        `keys that begin with ${textOf(prefix)} are of several tables, or of none`,
      );
    this.check(principal, "read", prefix);
    const name = nameOf(prefix);
    for (const table of this.#byName.values())
      if (table.name.startsWith(name)) this.check(principal, "read", table.prefix);
  }

  /** The level that a transaction runs at: its own, or the strictest of its tables. Throws AccessError. */
  checkTransaction(principal: string, level: Level | undefined, accesses: readonly Access[]): Level {
    if (this.#byName.size === 0) return level ?? Level.strict;
    let wanted: Level | undefined;
    for (const { key, reads, operations } of accesses) {
      if (reads.length > 0) this.check(principal, "read", key);
      const table = this.check(principal, operations.byteLength > 0 ? "write" : "read", key) as Table;
      if (operations.byteLength > 0) checkType(table, key, operations);
      wanted = Math.max(wanted ?? 0, table.level ?? level ?? Level.strict) as Level;
    }
    const strictest = wanted ?? level ?? Level.strict;
    if (level !== undefined && level < strictest) throw wrongLevel(strictest);
    return level ?? strictest;
  }
}

function wrongLevel(wanted: Level): AccessError {
  const name = Object.entries(Level).find(([, code]) => code === wanted)?.[0] ?? String(wanted);
  return new AccessError("wrongLevel", `the tables of these keys want level ${name}`);
}

function checkType({ valueType }: Table, key: Uint8Array, operations: Uint8Array): void {
  if (valueType === 0) return;
  for (const operation of decodeOperations(operations)) {
    const type = typeOf(operation);
    if (type !== undefined && type !== valueType)
      throw new AccessError(
        "wrongType",
        `${textOf(key)} holds a ${typeName(valueType)}, ${operation.kind} is for a ${typeName(type)}`,
      );
  }
}
