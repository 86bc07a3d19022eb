/**
 * The multi-version store in plain TypeScript: what native/versions/ must do, as simply as it can be said. For tests.
 */
import { PartKind, type Part, ValueType } from "../../native/version-values.ts";
import type { VersionView, WriteResult } from "../../native/versions.ts";
import { nameOf } from "../wire/key-name.ts";
import { compareBytes } from "../wire/bytes.ts";
import { applyOperation } from "./apply.ts";
import { decodeOperations, encodeValue, type Operation, partOf, type Value } from "./operations.ts";

interface ModelVersion {
  timestamp: number;
  operations: Operation[];
}

/** Whether a change of one part may be seen by who looks at the other. */
function touches(operation: Operation, part: Part): boolean {
  if (part.kind === PartKind.whole) return true;
  if (operation.kind === "append") return part.kind !== PartKind.index;
  const own = partOf(operation);
  return own.kind !== part.kind || compareBytes(own.data, part.data) === 0;
}

/** Nothing is ever collected here: the horizon alone says what can be asked, and what counts as settled. */
export class VersionsModel {
  readonly #chains = new Map<string, ModelVersion[]>();
  #horizon = 0;

  raiseHorizon(horizon: number): void {
    this.#horizon = Math.max(this.#horizon, horizon);
  }

  write(key: Uint8Array, timestamp: number, _position: number, ops: Uint8Array): WriteResult {
    if (timestamp <= this.#horizon) return "stale";
    const chain = this.#chain(key);
    if (chain.some((version) => version.timestamp === timestamp)) return "exists";
    const changed = [...chain, { timestamp, operations: decodeOperations(ops) }];
    this.#chains.set(
      nameOf(key),
      changed.sort((a, b) => a.timestamp - b.timestamp),
    );
    return "written";
  }

  read(key: Uint8Array, timestamp: number): VersionView | undefined {
    if (timestamp < this.#horizon) return undefined;
    const chain = this.#chain(key);
    const below = chain.filter((version) => version.timestamp <= timestamp);
    const value = valueOf(below);
    return {
      start: this.#trace(below)?.timestamp ?? 0,
      next: chain[below.length]?.timestamp ?? 0,
      type: ValueType[value.type],
      value: encodeValue(value),
    };
  }

  changed(key: Uint8Array, part: Part, since: number, wasPresent: boolean): boolean {
    const chain = this.#chain(key);
    const settled = chain.filter(({ timestamp }) => timestamp <= this.#horizon);
    const later = chain.slice(settled.length);
    const newer = later.filter(({ timestamp }) => timestamp > since);
    if (newer.some(({ operations }) => operations.some((each) => touches(each, part)))) return true;
    if (newer.length < later.length) return false;
    const base = this.#trace(settled);
    return base === undefined ? wasPresent : base.timestamp > since;
  }

  /** Commit timestamp of the newest version of which there is a trace. */
  newest(key: Uint8Array): number {
    return this.read(key, Number.MAX_SAFE_INTEGER)?.start ?? 0;
  }

  /** All that were ever written. */
  names(): Uint8Array[] {
    return [...this.#chains.keys()].map((name) => Buffer.from(name, "latin1"));
  }

  /** Keys of which somebody may still see something. */
  traced(): number {
    return this.names().filter((key) => this.newest(key) > 0).length;
  }

  /** Keys that have a value at the timestamp, ascending. */
  keys(timestamp: number): Uint8Array[] {
    return [...this.#chains.keys()]
      .map((name) => Buffer.from(name, "latin1"))
      .filter((key) => (this.read(key, timestamp)?.type ?? ValueType.absent) !== ValueType.absent)
      .sort(compareBytes);
  }

  /**
   * How many versions are left when all is collected: of those at or below the horizon one of a key. A tombstone there is gone with its
   * key, but stays (`most`) below what was written before it was collected.
   */
  left(): { least: number; most: number } {
    let [least, most] = [0, 0];
    for (const chain of this.#chains.values()) {
      const later = chain.filter(({ timestamp }) => timestamp > this.#horizon).length;
      const settled = chain.slice(0, chain.length - later);
      const isTraced = this.#trace(settled) !== undefined;
      least += later + Number(isTraced);
      most += later + Number(later > 0 ? settled.length > 0 : isTraced);
    }
    return { least, most };
  }

  #chain(key: Uint8Array): ModelVersion[] {
    return this.#chains.get(nameOf(key)) ?? [];
  }

  /** The last of these versions; none for a key that was deleted at or below the horizon. */
  #trace(versions: ModelVersion[]): ModelVersion | undefined {
    const last = versions.at(-1);
    const isGone =
      last !== undefined && last.timestamp <= this.#horizon && valueOf(versions).type === "absent";
    return isGone ? undefined : last;
  }
}

function valueOf(versions: ModelVersion[]): Value {
  return versions
    .flatMap(({ operations }) => operations)
    .reduce<Value>((value, each) => applyOperation(value, each), { type: "absent" });
}
