/**
 * What operations make of a value, in plain TypeScript: the same as nx_fold (native/versions/fold.h), for clients, which see
 * their own writes before a shard does, and for the model that the C store is tested against.
 */
import { compareBytes } from "../wire/bytes.ts";
import type { Operation, Value } from "./operations.ts";

/** What one operation makes of a value. */
export function applyOperation(value: Value, operation: Operation): Value {
  const elements = (type: "list" | "set") => (value.type === type ? value.elements : []);
  const entries = value.type === "map" ? value.entries : [];
  switch (operation.kind) {
    case "put":
      return operation.value;
    case "delete":
      return { type: "absent" };
    case "add": {
      const before = value.type === "counter" ? value.count : 0n;
      return { type: "counter", count: BigInt.asIntN(64, before + operation.amount) };
    }
    case "append":
      return { type: "list", elements: [...elements("list"), operation.element] };
    case "setIndex":
      return {
        type: "list",
        elements: elements("list").map((old, index) => (index === operation.index ? operation.element : old)),
      };
    case "insert":
      return { type: "set", elements: [...elements("set"), operation.element] };
    case "remove":
      return {
        type: "set",
        elements: elements("set").filter((element) => compareBytes(element, operation.element) !== 0),
      };
    case "mapSet":
      return { type: "map", entries: [...entries, [operation.field, operation.value]] };
    case "mapDelete":
      return {
        type: "map",
        entries: entries.filter(([field]) => compareBytes(field, operation.field) !== 0),
      };
  }
}
