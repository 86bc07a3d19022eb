/**
 * Values and transactions as JSON.
 *
 *   { "type": "bytes", "text": "hello" }            what is not UTF-8: "base64" instead of "text"
 *   { "type": "counter", "count": 5 }               beyond 2^53: a string of digits
 *   { "type": "list" | "set", "elements": ["a", { "base64": "/w==" }] }
 *   { "type": "map", "entries": [["field", "value"]] }
 *
 * A transaction is { id, level, reads, operations }; an operation is { key, op, … } (the schema below).
 */
import { z } from "zod";
import type { ReadVersion } from "../shard/query-messages.ts";
import {
  decodeValue,
  elementPart,
  encodeOperations,
  fieldPart,
  indexPart,
  type Operation,
  type Value,
  wholePart,
} from "../shard/operations.ts";
import type { Part } from "../../native/version-values.ts";
import { type Access, KEY_BYTES_MAX, Level } from "../shard/transaction.ts";
import type { OfferedTransaction } from "./access/guarded-store.ts";

const decoder = new TextDecoder("utf-8", { fatal: true });

/** A text, or bytes that are none. */
export type JsonBytes = string | { base64: string };

/** Halves of surrogate pairs would all become one and the same character. */
const text = z
  .string()
  .refine((each) => each.isWellFormed(), "half of a surrogate pair: UTF-8 cannot keep it");
const jsonBytes = z.union([text, z.strictObject({ base64: z.base64() })]);
const INT64 = "wanted an integer of 64 bits, as a number or, beyond 2^53, as a text";
const int64 = z
  .union([z.int(INT64), z.string().regex(/^-?\d{1,19}$/, INT64)], INT64)
  .transform((value) => BigInt(value))
  .refine((value) => value === BigInt.asIntN(64, value), INT64);
const safe = z.int().min(0);

const value = z.discriminatedUnion("type", [
  z
    .strictObject({ type: z.literal("bytes"), text: text.optional(), base64: z.base64().optional() })
    .refine(
      ({ text, base64 }) => text === undefined || base64 === undefined,
      "wanted text or base64, not both",
    ),
  z.strictObject({ type: z.literal("counter"), count: int64 }),
  z.strictObject({ type: z.literal("list"), elements: z.array(jsonBytes) }),
  z.strictObject({ type: z.literal("set"), elements: z.array(jsonBytes) }),
  z.strictObject({ type: z.literal("map"), entries: z.array(z.tuple([jsonBytes, jsonBytes])) }),
]);

/** A key, as text. */
export const keySchema = text
  .min(1)
  .refine((each) => Buffer.byteLength(each) <= KEY_BYTES_MAX, `wanted at most ${KEY_BYTES_MAX} bytes`);
const key = keySchema;
const operation = z.discriminatedUnion("op", [
  z.strictObject({ op: z.literal("put"), key, value }),
  z.strictObject({ op: z.literal("delete"), key }),
  z.strictObject({ op: z.literal("add"), key, amount: int64 }),
  z.strictObject({ op: z.literal("append"), key, element: jsonBytes }),
  z.strictObject({
    op: z.literal("setIndex"),
    key,
    index: z.int().min(0).max(0xffff_ffff),
    element: jsonBytes,
  }),
  z.strictObject({ op: z.literal("insert"), key, element: jsonBytes }),
  z.strictObject({ op: z.literal("remove"), key, element: jsonBytes }),
  z.strictObject({ op: z.literal("mapSet"), key, field: jsonBytes, value: jsonBytes }),
  z.strictObject({ op: z.literal("mapDelete"), key, field: jsonBytes }),
]);
type JsonOperation = z.output<typeof operation>;

/** What POST /v1/transactions takes. */
export const transactionSchema = z.strictObject({
  /** Names the transaction for ever: sent again, it is not executed again. Absent: a new one. */
  id: z.strictObject({ client: safe, number: safe }).optional(),
  /** Absent: that of the tables of its keys, else strict. */
  level: z.enum(["strict", "snapshot", "readCommitted"]).optional(),
  /** The timestamp of its reads under snapshot isolation. */
  snapshot: safe.optional(),
  /** Transactions of `id.client` below this number are settled: it will not ask for them again. */
  floor: safe.default(0),
  /** What it read: the key and the `version` that was answered, and the part of the value when it was not all of it. */
  reads: z
    .array(
      z.strictObject({
        key,
        version: safe,
        isPresent: z.boolean(),
        index: z.int().min(0).max(0xffff_ffff).optional(),
        element: jsonBytes.optional(),
        field: jsonBytes.optional(),
      }),
    )
    .default([]),
  operations: z.array(operation).default([]),
});
export type JsonTransaction = z.output<typeof transactionSchema>;

const levels = {
  strict: Level.strict,
  snapshot: Level.snapshot,
  readCommitted: Level.readCommitted,
} as const;

export function toBytes(json: JsonBytes): Uint8Array {
  return new Uint8Array(typeof json === "string" ? Buffer.from(json) : Buffer.from(json.base64, "base64"));
}

export function toJsonBytes(bytes: Uint8Array): JsonBytes {
  try {
    return decoder.decode(bytes);
  } catch {
    return { base64: Buffer.from(bytes).toString("base64") };
  }
}

export function toJson(value: Value): unknown {
  switch (value.type) {
    case "bytes": {
      const bytes = toJsonBytes(value.bytes);
      return typeof bytes === "string" ? { type: "bytes", text: bytes } : { type: "bytes", ...bytes };
    }
    case "counter": {
      const count = Number(value.count);
      return { type: "counter", count: Number.isSafeInteger(count) ? count : value.count.toString() };
    }
    case "list":
    case "set":
      return { type: value.type, elements: value.elements.map(toJsonBytes) };
    case "map":
      return {
        type: "map",
        entries: value.entries.map(([field, content]) => [toJsonBytes(field), toJsonBytes(content)]),
      };
    case "absent":
      return { type: "absent" };
  }
}

/** A version as readers are told of it: the timestamps between which it is the value, both included. */
export function versionJson({ start, end, type, value }: ReadVersion) {
  return { version: start, validUntil: end, value: toJson(decodeValue(type, value)) };
}

function fromJson(json: z.output<typeof value>): Exclude<Value, { type: "absent" }> {
  switch (json.type) {
    case "bytes":
      return {
        type: "bytes",
        bytes: toBytes(json.base64 === undefined ? (json.text ?? "") : { base64: json.base64 }),
      };
    case "counter":
      return { type: "counter", count: BigInt.asIntN(64, json.count) };
    case "list":
    case "set":
      return { type: json.type, elements: json.elements.map(toBytes) };
    case "map":
      return {
        type: "map",
        entries: json.entries.map(([field, content]) => [toBytes(field), toBytes(content)]),
      };
  }
}

function operationOf(json: JsonOperation): Operation {
  switch (json.op) {
    case "put":
      return { kind: "put", value: fromJson(json.value) };
    case "delete":
      return { kind: "delete" };
    case "add":
      return { kind: "add", amount: BigInt.asIntN(64, json.amount) };
    case "setIndex":
      return { kind: "setIndex", index: json.index, element: toBytes(json.element) };
    case "append":
    case "insert":
    case "remove":
      return { kind: json.op, element: toBytes(json.element) };
    case "mapSet":
      return { kind: "mapSet", field: toBytes(json.field), value: toBytes(json.value) };
    case "mapDelete":
      return { kind: "mapDelete", field: toBytes(json.field) };
  }
}

function partOf({ index, element, field }: JsonTransaction["reads"][number]): Part {
  if (index !== undefined) return indexPart(index);
  if (element !== undefined) return elementPart(toBytes(element));
  if (field !== undefined) return fieldPart(toBytes(field));
  return wholePart;
}

/** The transaction that a client means; `id` when it gave none. */
export function transactionOf(json: JsonTransaction, id: OfferedTransaction["id"]): OfferedTransaction {
  const byKey = new Map<string, { reads: Access["reads"]; operations: Operation[] }>();
  const at = (name: string) => {
    const found = byKey.get(name) ?? { reads: [], operations: [] };
    byKey.set(name, found);
    return found;
  };
  for (const read of json.reads)
    at(read.key).reads.push({ part: partOf(read), version: read.version, wasPresent: read.isPresent });
  for (const each of json.operations) at(each.key).operations.push(operationOf(each));
  const accesses = [...byKey].map(([name, { reads, operations }]) => ({
    key: new Uint8Array(Buffer.from(name)),
    reads,
    operations: operations.length === 0 ? new Uint8Array(0) : encodeOperations(operations),
  }));
  return {
    id: json.id ?? id,
    floor: json.floor,
    level: json.level === undefined ? undefined : levels[json.level],
    snapshot: json.snapshot ?? 0,
    accesses,
  };
}
