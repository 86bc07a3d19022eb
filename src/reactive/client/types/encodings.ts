/**
 * How single items are kept as bytes: the content of a variable, the elements of a list or set, the values of a map.
 *
 * Texts are UTF-8, integers their decimal digits, booleans "true" and "false", everything else JSON, so that any tool can
 * read them. Pure.
 */

export interface Encoding<T> {
  /** For people: "a text". */
  readonly name: string;
  encode(item: T): Uint8Array;
  /** Throws for bytes that are no such item. */
  decode(bytes: Uint8Array): T;
}

const encoder = new TextEncoder();
const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

export const toUtf8 = (text: string): Uint8Array => encoder.encode(text);

/** Throws for what is no UTF-8. */
export const fromUtf8 = (bytes: Uint8Array): string => decoder.decode(bytes);

const INTEGER_MIN = -(2n ** 63n);
const INTEGER_MAX = 2n ** 64n - 1n;

/** Any well-formed text; half of a surrogate pair is refused, because UTF-8 cannot keep it. */
export const asText: Encoding<string> = {
  name: "a text",
  encode(text) {
    if (typeof text !== "string") throw new TypeError(`wanted a text, not ${String(text)}`);
    if (!text.isWellFormed())
      throw new TypeError("a text has half of a surrogate pair: UTF-8 cannot keep it");
    return toUtf8(text);
  },
  decode: fromUtf8,
};

/** Integers from -2^63 to 2^64 - 1. */
export const asLong: Encoding<bigint> = {
  name: "an integer",
  encode(integer) {
    if (integer < INTEGER_MIN || integer > INTEGER_MAX)
      throw new RangeError(`${integer} is no integer from -2^63 to 2^64 - 1`);
    return toUtf8(integer.toString());
  },
  decode(bytes) {
    const text = fromUtf8(bytes);
    const integer = /^(0|-?[1-9]\d{0,19})$/.test(text) ? BigInt(text) : undefined;
    if (integer === undefined || integer < INTEGER_MIN || integer > INTEGER_MAX)
      throw new TypeError("these are no digits of an integer");
    return integer;
  },
};

export const asBoolean: Encoding<boolean> = {
  name: "a boolean",
  encode: (isTrue) => toUtf8(isTrue ? "true" : "false"),
  decode(bytes) {
    const text = fromUtf8(bytes);
    if (text !== "true" && text !== "false") throw new TypeError('wanted "true" or "false"');
    return text === "true";
  },
};

export const asBytes: Encoding<Uint8Array> = {
  name: "bytes",
  encode: (bytes) => bytes.slice(),
  decode: (bytes) => bytes.slice(),
};

/** What says whether a value is a T: a schema of zod, for example. */
export interface Schema<T> {
  parse(value: unknown): T;
}

/** JSON that a schema accepts, both when it is written and when it is read. */
export function asJson<T>(schema: Schema<T>): Encoding<T> {
  return {
    name: "JSON of its schema",
    encode: (item) => toUtf8(JSON.stringify(schema.parse(item))),
    decode: (bytes) => schema.parse(JSON.parse(fromUtf8(bytes))),
  };
}
