/** What all variables have in common: a key, and the check that what is stored under it is of their type. */
import type { Part } from "../../../native/version-values.ts";
import type { Value } from "../../shard/operations.ts";
import { type Reader, TypeMismatchError, type Writer } from "../transaction-handle.ts";
import type { Encoding } from "./encodings.ts";

const KEY_BYTES_MAX = 65_535;
const NOTHING = new Uint8Array(0);

const names: Record<Value["type"], string> = {
  absent: "nothing",
  bytes: "bytes",
  counter: "a counter",
  list: "a list",
  set: "a set",
  map: "a map",
};

export abstract class Variable {
  readonly key: string;

  constructor(key: string) {
    if (key === "" || 3 * key.length > KEY_BYTES_MAX || !key.isWellFormed())
      throw new RangeError(`a key has 1 to ${Math.floor(KEY_BYTES_MAX / 3)} well-formed characters`);
    this.key = key;
  }

  /** Nothing is under the key then. */
  delete(transaction: Writer): void {
    transaction.apply(this.key, { kind: "delete" });
  }

  /** The value under the key, of this type; undefined when nothing is there. */
  protected async stored<Type extends Value["type"]>(
    transaction: Reader,
    type: Type,
    part: Part,
  ): Promise<Extract<Value, { type: Type }> | undefined> {
    const value = await transaction.read(this.key, part);
    if (value.type === "absent") return undefined;
    if (value.type !== type) throw new TypeMismatchError(this.key, names[type], names[value.type]);
    return value as Extract<Value, { type: Type }>;
  }

  protected decoded<T>(encoding: Encoding<T>, bytes: Uint8Array = NOTHING): T {
    try {
      return encoding.decode(bytes);
    } catch (error) {
      throw new TypeMismatchError(
        this.key,
        encoding.name,
        `something else (${error instanceof Error ? error.message : String(error)})`,
      );
    }
  }
}
