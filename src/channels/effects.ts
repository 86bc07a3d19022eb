/**
 * The effects of a record store as values: the TypeScript half of the format drawn in native/effects.h.
 *
 * It serves the model, tools that print a log, and as a second opinion on the C codec: each reads what the
 * other wrote. Invariant: every length is checked before it is used.
 */
import { MalformedEffects } from "../native/record-store.ts";

interface EffectOf {
  channel: string;
  key: Uint8Array;
}

export type Effect =
  | ({ operation: "put"; value: Uint8Array; expiresAtMs: number } & EffectOf)
  | ({ operation: "patch"; offset: number; value: Uint8Array; expiresAtMs: number } & EffectOf)
  | ({ operation: "remove" } & EffectOf)
  | ({ operation: "expire"; expiresAtMs: number } & EffectOf)
  | { operation: "removeChannel"; channel: string };

const operations = ["put", "patch", "remove", "expire", "removeChannel"] as const;
const Flag = { compact: 1, expiry: 2, offset: 4 } as const;
const HEADER_BYTES = 12;

const ascii = (bytes: Uint8Array) => String.fromCharCode(...bytes);

/** The stored form of a key that is exactly 16 lower-case hex digits, else undefined. */
function compacted(key: Uint8Array): Uint8Array | undefined {
  if (key.byteLength !== 16) return undefined;
  const text = ascii(key);
  return /^[0-9a-f]{16}$/.test(text) ? Uint8Array.fromHex(text).reverse() : undefined;
}

export function encodeEffect(effect: Effect): Uint8Array {
  const name = new TextEncoder().encode(effect.channel);
  const text = effect.operation === "removeChannel" ? new Uint8Array(0) : effect.key;
  const compact = compacted(text);
  const key = compact ?? text;
  const value = "value" in effect ? effect.value : new Uint8Array(0);
  const expiresAtMs = "expiresAtMs" in effect ? effect.expiresAtMs : 0;
  const offset = "offset" in effect ? effect.offset : undefined;
  const extra = (expiresAtMs === 0 ? 0 : 8) + (offset === undefined ? 0 : 8);
  const bytes = new Uint8Array(HEADER_BYTES + extra + name.byteLength + key.byteLength + value.byteLength);
  const view = new DataView(bytes.buffer);
  view.setUint8(0, operations.indexOf(effect.operation) + 1);
  const flags =
    (compact ? Flag.compact : 0) | (expiresAtMs ? Flag.expiry : 0) | (offset === undefined ? 0 : Flag.offset);
  view.setUint8(1, flags);
  view.setUint8(2, name.byteLength);
  view.setUint32(4, key.byteLength, true);
  view.setUint32(8, value.byteLength, true);
  let at = HEADER_BYTES;
  if (expiresAtMs !== 0) {
    view.setBigInt64(at, BigInt(expiresAtMs), true);
    at += 8;
  }
  if (offset !== undefined) view.setBigUint64(at, BigInt(offset), true);
  at = HEADER_BYTES + extra;
  for (const part of [name, key, value]) {
    bytes.set(part, at);
    at += part.byteLength;
  }
  return bytes;
}

/** Length of the effect that begins at `at` of `bytes`, which C wrote: it is whole. */
export function effectLength(bytes: Uint8Array, at: number): number {
  const view = new DataView(bytes.buffer, bytes.byteOffset + at, HEADER_BYTES);
  const flags = view.getUint8(1);
  const extra = (flags & Flag.expiry ? 8 : 0) + (flags & Flag.offset ? 8 : 0);
  return HEADER_BYTES + extra + view.getUint8(2) + view.getUint32(4, true) + view.getUint32(8, true);
}

/** Reads all effects in `bytes`. Throws MalformedEffects at the first that is malformed or cut short. */
export function* decodeEffects(bytes: Uint8Array): Generator<Effect> {
  for (let at = 0; at < bytes.byteLength;) {
    const { effect, length } = decodeEffect(bytes.subarray(at), at);
    yield effect;
    at += length;
  }
}

function decodeEffect(bytes: Uint8Array, position: number): { effect: Effect; length: number } {
  const must = (condition: boolean) => {
    if (!condition) throw new MalformedEffects(position);
  };
  must(bytes.byteLength >= HEADER_BYTES);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const operation = operations[view.getUint8(0) - 1];
  const flags = view.getUint8(1);
  must(operation !== undefined && flags < 8 && view.getUint8(3) === 0);
  const nameAt = HEADER_BYTES + (flags & Flag.expiry ? 8 : 0) + (flags & Flag.offset ? 8 : 0);
  const keyAt = nameAt + view.getUint8(2);
  const valueAt = keyAt + view.getUint32(4, true);
  const length = valueAt + view.getUint32(8, true);
  must(length <= bytes.byteLength && ((flags & Flag.offset) !== 0) === (operation === "patch"));
  const expiresAtMs = flags & Flag.expiry ? Number(view.getBigInt64(HEADER_BYTES, true)) : 0;
  const channel = ascii(bytes.subarray(nameAt, keyAt));
  must(/^[A-Za-z0-9_-]{1,240}$/.test(channel) && expiresAtMs >= 0);
  const stored = bytes.slice(keyAt, valueAt);
  must(!(flags & Flag.compact) || stored.byteLength === 8);
  const key = flags & Flag.compact ? new TextEncoder().encode(stored.reverse().toHex()) : stored;
  const value = bytes.slice(valueAt, length);
  const effect = (): Effect => {
    switch (operation as (typeof operations)[number]) {
      case "put":
        return { operation: "put", channel, key, value, expiresAtMs };
      case "patch":
        return {
          operation: "patch",
          channel,
          key,
          value,
          expiresAtMs,
          offset: Number(view.getBigUint64(nameAt - 8, true)),
        };
      case "remove":
        return { operation: "remove", channel, key };
      case "expire":
        return { operation: "expire", channel, key, expiresAtMs };
      case "removeChannel":
        return { operation: "removeChannel", channel };
    }
  };
  return { effect: effect(), length };
}
