/**
 * What is kept where in etcd, and how it is written in the JSON of its gateway (bytes are base64, 64-bit integers are texts,
 * zeros are left out).
 *
 *   key                          value
 *   PREFIX d/KEY                 type u8 (native/version-values.ts; 0: deleted), then the value in its one encoding
 *   PREFIX d                     nothing; written so that it is heard of (change-feed.ts)
 *   PREFIX t/CLIENT/NUMBER       "committed" or "aborted": what became of a transaction (16 hex digits each); expires with a lease
 *   PREFIX x/KEY                 nothing; beside each deleted key, until its mark is collected (collector.ts)
 *   PREFIX v                     the number of this format (format.ts)
 *   PREFIX h                     a revision in decimal: marks of what was deleted up to it may be gone
 *
 * Timestamps of the store are revisions of etcd. A key's version is the revision of its last put, which is why a delete is a put too.
 */
import { ValueType } from "../../../native/version-values.ts";
import { decodeValue, encodeValue, type Value } from "../../shard/operations.ts";
import type { TransactionId } from "../../shard/transaction.ts";
import { copyOf } from "../../wire/bytes.ts";

export interface KeyValue {
  key: string;
  mod_revision: string;
  value?: string;
}

/** A key as it is kept: which revision put it there, 0: none. */
export interface Cell {
  revision: number;
  type: number;
  value: Uint8Array;
}

const NOTHING = new Uint8Array(0);

export const base64 = (bytes: Uint8Array | string) => Buffer.from(bytes as Uint8Array).toString("base64");

export const bytesOf = (text: string | undefined) => copyOf(Buffer.from(text ?? "", "base64"));

export const revisionOf = (text: string | undefined) => Number(text ?? 0);

const hex = (number: number) => number.toString(16).padStart(16, "0");

/** The names of everything under one prefix. */
export class Layout {
  readonly #prefix: Buffer;

  constructor(prefix: string) {
    this.#prefix = Buffer.from(prefix);
  }

  #name(...parts: (string | Uint8Array)[]): string {
    const all = parts.map((part) => (typeof part === "string" ? Buffer.from(part) : part));
    return base64(Buffer.concat([this.#prefix, ...all]));
  }

  readonly data = (key: Uint8Array) => this.#name("d/", key);
  /** A first key behind which nothing of the data is: `0` follows `/`. */
  get dataEnd(): string {
    return this.#name("d0");
  }
  get beat(): string {
    return this.#name("d");
  }
  get format(): string {
    return this.#name("v");
  }
  get horizon(): string {
    return this.#name("h");
  }
  readonly deleted = (key: Uint8Array) => this.#name("x/", key);
  get deletedEnd(): string {
    return this.#name("x0");
  }
  readonly outcome = ({ client, number }: TransactionId) => this.#name(`t/${hex(client)}/${hex(number)}`);

  /** The key of a name under `d/` or `x/`; undefined for another name. */
  keyOf(name: string): Uint8Array | undefined {
    const bytes = bytesOf(name);
    const start = this.#prefix.byteLength + 2;
    return bytes.byteLength >= start ? bytes.subarray(start) : undefined;
  }
}

/** Undefined: the key is not there. */
export function cellOf(kept: KeyValue | undefined): Cell {
  if (kept === undefined) return { revision: 0, type: ValueType.absent, value: NOTHING };
  const bytes = bytesOf(kept.value);
  return {
    revision: revisionOf(kept.mod_revision),
    type: bytes[0] ?? ValueType.absent,
    value: bytes.subarray(1),
  };
}

export const valueOf = ({ type, value }: Cell) => decodeValue(type, value);

/** The bytes that are put for a value. */
export function cellBytes(value: Value): string {
  return base64(Buffer.concat([Uint8Array.of(ValueType[value.type]), encodeValue(value)]));
}
