/**
 * The multi-version store in plain TypeScript: what native/versions/ must do, as simply as it can be said. For tests.
 */
import { PartKind, type Part, ValueType } from "../../native/version-values.ts";
import type { VersionView, WriteResult } from "../../native/versions.ts";
import { compareBytes } from "../wire/bytes.ts";
import { applyOperation } from "./apply.ts";
import { decodeOperations, encodeValue, type Operation, partOf, type Value } from "./operations.ts";

interface ModelVersion {
  timestamp: number;
  /** Undefined: what was below it was collected, and `base` is the value. */
  operations: Operation[] | undefined;
  base?: Value;
}

const nothing = new Uint8Array(0);

/** Whether a change of one part may be seen by who looks at the other. */
function touches(operation: Operation, part: Part): boolean {
  if (part.kind === PartKind.whole) return true;
  if (operation.kind === "append") return part.kind !== PartKind.index;
  const own = partOf(operation);
  return own.kind !== part.kind || compareBytes(own.data, part.data) === 0;
}

export class VersionsModel {
  readonly #chains = new Map<string, ModelVersion[]>();

  write(key: Uint8Array, timestamp: number, _position: number, ops: Uint8Array): WriteResult {
    const name = Buffer.from(key).toString("latin1");
    const chain = this.#chains.get(name) ?? [];
    if (chain.some((version) => version.operations === undefined && version.timestamp > timestamp))
      return "stale";
    if (chain.some((version) => version.timestamp === timestamp)) return "exists";
    chain.push({ timestamp, operations: decodeOperations(ops) });
    chain.sort((a, b) => a.timestamp - b.timestamp);
    this.#chains.set(name, chain);
    return "written";
  }

  read(key: Uint8Array, timestamp: number): VersionView | undefined {
    const chain = this.#chain(key);
    const below = chain.filter((version) => version.timestamp <= timestamp);
    const next = chain[below.length]?.timestamp ?? 0;
    if (below.length === 0) {
      if (chain[0]?.operations === undefined && chain.length > 0) return undefined;
      return { start: 0, next, type: ValueType.absent, value: nothing };
    }
    const value = this.#value(below);
    const start = (below.at(-1) as ModelVersion).timestamp;
    return { start, next, type: ValueType[value.type], value: encodeValue(value) };
  }

  changed(key: Uint8Array, part: Part, since: number, wasPresent: boolean, horizon: number): boolean {
    const chain = this.#chain(key);
    const settled = chain.filter(({ timestamp }) => timestamp <= horizon);
    const base = settled.at(-1);
    const isTombstone = settled.length === chain.length && this.#value(settled).type === "absent";
    if (base === undefined ? chain.length === 0 : isTombstone) {
      const isUnseen = base !== undefined && base.timestamp > since;
      return chain.length === 0 || isUnseen ? wasPresent : false;
    }
    if (base !== undefined && base.timestamp > since) return true;
    return chain.some(
      ({ timestamp, operations }) =>
        timestamp > since && (operations === undefined || operations.some((each) => touches(each, part))),
    );
  }

  collect(horizon: number): void {
    for (const [name, chain] of this.#chains) {
      const below = chain.filter((version) => version.timestamp <= horizon);
      const last = below.at(-1);
      if (last === undefined) continue;
      const base = this.#value(below);
      const kept: ModelVersion[] = [
        { timestamp: last.timestamp, operations: undefined, base },
        ...chain.slice(below.length),
      ];
      if (kept.length === 1 && base.type === "absent") this.#chains.delete(name);
      else this.#chains.set(name, kept);
    }
  }

  /** Keys that have a value at the timestamp, ascending. */
  keys(timestamp: number): Uint8Array[] {
    return [...this.#chains.keys()]
      .map((name) => Buffer.from(name, "latin1"))
      .filter((key) => (this.read(key, timestamp)?.type ?? ValueType.absent) !== ValueType.absent)
      .sort(compareBytes);
  }

  #chain(key: Uint8Array): ModelVersion[] {
    return this.#chains.get(Buffer.from(key).toString("latin1")) ?? [];
  }

  #value(versions: ModelVersion[]): Value {
    return versions.reduce<Value>(
      (value, { operations, base }) =>
        operations === undefined ? (base as Value) : operations.reduce(applyOperation, value),
      { type: "absent" },
    );
  }
}
