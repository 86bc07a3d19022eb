/**
 * What a transaction does to keys, as values and as bytes (the tables of native/versions/versions.h).
 *
 * Operations of one kind on one key commute when `isCommutative` says so: they never conflict with each other, whatever
 * order they arrive in (DOCC, section 4 of the Diamond paper).
 */
import { type Part, PartKind, ValueType } from "../../native/version-values.ts";
import { ByteReader, ByteWriter, compareBytes, WireError } from "../wire/bytes.ts";

export type Value =
  | { type: "absent" }
  | { type: "bytes"; bytes: Uint8Array }
  /** Wraps at 64 bits, signed. */
  | { type: "counter"; count: bigint }
  | { type: "list"; elements: Uint8Array[] }
  /** Ascending by bytes. */
  | { type: "set"; elements: Uint8Array[] }
  /** Ascending by field. */
  | { type: "map"; entries: [field: Uint8Array, value: Uint8Array][] };

export type Operation =
  | { kind: "put"; value: Exclude<Value, { type: "absent" }> }
  | { kind: "delete" }
  | { kind: "add"; amount: bigint }
  | { kind: "append"; element: Uint8Array }
  | { kind: "setIndex"; index: number; element: Uint8Array }
  | { kind: "insert"; element: Uint8Array }
  | { kind: "remove"; element: Uint8Array }
  | { kind: "mapSet"; field: Uint8Array; value: Uint8Array }
  | { kind: "mapDelete"; field: Uint8Array };

const codes = {
  put: 1,
  delete: 2,
  add: 3,
  append: 4,
  setIndex: 5,
  insert: 6,
  remove: 7,
  mapSet: 8,
  mapDelete: 9,
} as const;

const kinds = Object.fromEntries(Object.entries(codes).map(([kind, code]) => [code, kind])) as Record<
  number,
  Operation["kind"] | undefined
>;

/** A list longer than this, or a set or map with more, is refused before it is built. */
export const ITEMS_MAX = 1_000_000;

/**
 * Whether it commutes with every operation of its kind: increments, appends and inserts. The others say what one part of a
 * value is to be, so two of them on one part do not commute.
 */
export function isCommutative(operation: Operation): boolean {
  return operation.kind === "add" || operation.kind === "append" || operation.kind === "insert";
}

const whole: Part = { kind: PartKind.whole, data: new Uint8Array(0) };

export const wholePart = whole;

export function indexPart(index: number): Part {
  return { kind: PartKind.index, data: new ByteWriter().u32(index).done() };
}

export function elementPart(element: Uint8Array): Part {
  return { kind: PartKind.element, data: element };
}

export function fieldPart(field: Uint8Array): Part {
  return { kind: PartKind.field, data: field };
}

/** What part of the value it changes. Two operations on different parts of one kind do not conflict. */
export function partOf(operation: Operation): Part {
  switch (operation.kind) {
    case "setIndex":
      return indexPart(operation.index);
    case "insert":
    case "remove":
      return elementPart(operation.element);
    case "mapSet":
    case "mapDelete":
      return fieldPart(operation.field);
    default:
      return whole;
  }
}

// --- values ----------------------------------------------------------------------------------------------------

function writeItems(writer: ByteWriter, items: readonly Uint8Array[]): void {
  writer.u32(items.length);
  for (const item of items) writer.bytes(item);
}

/** The one encoding of a value, without its type. Sets and maps are put in order; of two equal fields the last counts. */
export function encodeValue(value: Value): Uint8Array {
  const writer = new ByteWriter();
  switch (value.type) {
    case "absent":
      break;
    case "bytes":
      return value.bytes;
    case "counter":
      writer.i64(value.count);
      break;
    case "list":
      writeItems(writer, value.elements);
      break;
    case "set":
      writeItems(writer, ascending(value.elements));
      break;
    case "map": {
      const entries = ascendingEntries(value.entries);
      writer.u32(entries.length);
      for (const [field, content] of entries) writer.bytes(field).bytes(content);
    }
  }
  return writer.done();
}

function ascending(elements: readonly Uint8Array[]): Uint8Array[] {
  const sorted = elements.toSorted(compareBytes);
  return sorted.filter(
    (element, index) => index === 0 || compareBytes(sorted[index - 1] as Uint8Array, element) !== 0,
  );
}

function ascendingEntries(entries: readonly [Uint8Array, Uint8Array][]): [Uint8Array, Uint8Array][] {
  const sorted = entries.toSorted(([a], [b]) => compareBytes(a, b));
  return sorted.filter(([field], index) => {
    const next = sorted[index + 1];
    return next === undefined || compareBytes(field, next[0]) !== 0;
  });
}

/** The same value with sets and maps in order, each element and field once; of two equal fields the last counts. */
export function canonicalValue(value: Value): Value {
  if (value.type === "set") return { type: "set", elements: ascending(value.elements) };
  if (value.type === "map") return { type: "map", entries: ascendingEntries(value.entries) };
  return value;
}

/** Throws WireError for bytes that are no value of this type. The result shares no memory with `bytes`. */
export function decodeValue(type: number, bytes: Uint8Array): Value {
  const reader = new ByteReader(bytes);
  const value = readValue(type, reader, bytes);
  if (value.type !== "bytes") reader.end();
  return value;
}

function readValue(type: number, reader: ByteReader, bytes: Uint8Array): Value {
  switch (type) {
    case ValueType.absent:
      return { type: "absent" };
    case ValueType.bytes:
      return { type: "bytes", bytes: bytes.slice() };
    case ValueType.counter:
      return { type: "counter", count: reader.i64() };
    case ValueType.list:
      return { type: "list", elements: readItems(reader) };
    case ValueType.set:
      return { type: "set", elements: readItems(reader) };
    case ValueType.map: {
      const entries: [Uint8Array, Uint8Array][] = [];
      for (let left = reader.count(8, ITEMS_MAX); left > 0; left--)
        entries.push([reader.ownBytes(), reader.ownBytes()]);
      return { type: "map", entries };
    }
    default:
      throw new WireError(`${type} is no type of a value`);
  }
}

function readItems(reader: ByteReader): Uint8Array[] {
  const items: Uint8Array[] = [];
  for (let left = reader.count(4, ITEMS_MAX); left > 0; left--) items.push(reader.ownBytes());
  return items;
}

// --- operations ------------------------------------------------------------------------------------------------

export function encodeOperations(operations: readonly Operation[]): Uint8Array {
  const writer = new ByteWriter();
  for (const operation of operations) writeOperation(writer, operation);
  return writer.done();
}

function writeOperation(writer: ByteWriter, operation: Operation): void {
  writer.u8(codes[operation.kind]);
  switch (operation.kind) {
    case "put":
      writer.u8(ValueType[operation.value.type]).bytes(encodeValue(operation.value));
      return;
    case "delete":
      return;
    case "add":
      writer.i64(operation.amount);
      return;
    case "setIndex":
      writer.u32(operation.index).bytes(operation.element);
      return;
    case "append":
    case "insert":
    case "remove":
      writer.bytes(operation.element);
      return;
    case "mapSet":
      writer.bytes(operation.field).bytes(operation.value);
      return;
    case "mapDelete":
      writer.bytes(operation.field);
  }
}

const NOTHING = new Uint8Array(0);

/** Passes over what operations hold: for who wants to know only whether they can be read. */
class Passing extends ByteReader {
  override ownBytes(): Uint8Array<ArrayBuffer> {
    this.take(this.u32());
    return NOTHING;
  }
}

/** Throws WireError where `decodeOperations` does. */
export function checkOperations(bytes: Uint8Array): void {
  readOperations(new Passing(bytes));
}

/** Throws WireError for bytes that are not operations, and for values that are not in their one encoding. */
export function decodeOperations(bytes: Uint8Array): Operation[] {
  return readOperations(new ByteReader(bytes));
}

function readOperations(reader: ByteReader): Operation[] {
  const operations: Operation[] = [];
  while (reader.remaining > 0) operations.push(readOperation(reader));
  if (operations.length === 0) throw new WireError("there is no operation");
  return operations;
}

function readOperation(reader: ByteReader): Operation {
  const code = reader.u8();
  const kind = kinds[code];
  switch (kind) {
    case "put":
      return { kind, value: readPut(reader) };
    case "delete":
      return { kind };
    case "add":
      return { kind, amount: reader.i64() };
    case "setIndex":
      return { kind, index: reader.u32(), element: reader.ownBytes() };
    case "append":
    case "insert":
    case "remove":
      return { kind, element: reader.ownBytes() };
    case "mapSet":
      return { kind, field: reader.ownBytes(), value: reader.ownBytes() };
    case "mapDelete":
      return { kind, field: reader.ownBytes() };
    default:
      throw new WireError(`${code} is no operation`);
  }
}

function readPut(reader: ByteReader): Exclude<Value, { type: "absent" }> {
  const type = reader.u8();
  // Bytes have only one encoding: themselves.
  if (type === ValueType.bytes) return { type: "bytes", bytes: reader.ownBytes() };
  const bytes = reader.bytes();
  const value = decodeValue(type, bytes);
  if (value.type === "absent") throw new WireError("a put has a value");
  if (compareBytes(encodeValue(value), bytes) !== 0)
    throw new WireError("a value is not in its one encoding");
  return value;
}
