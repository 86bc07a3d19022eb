/** Fields that messages of both directions have; codec.ts draws them. Every length is checked before it is used. */
import type { ReadVersion } from "../shard/query-messages.ts";
import { KEY_BYTES_MAX, type Level, levelOf } from "../shard/transaction.ts";
import { type ByteReader, type ByteWriter, WireError } from "../wire/bytes.ts";
import { type KeyedVersion, limits } from "./messages.ts";

/** The level is the one of the tables. */
const NO_LEVEL = 255;

/** 0 is for what no request asked for. */
export function readRequest(reader: ByteReader): number {
  const request = reader.u32();
  if (request === 0) throw new WireError("a request has a number from 1");
  return request;
}

export function upTo(value: number, max: number, name: string): number {
  if (value > max) throw new WireError(`${name} is ${value}, ${max} are allowed`);
  return value;
}

export function oneOf<Name>(names: readonly Name[], code: number): Name {
  const name = names[code];
  if (name === undefined) throw new WireError(`there is no code ${code} here`);
  return name;
}

export function writeOptionalLevel(writer: ByteWriter, level: Level | undefined): void {
  writer.u8(level ?? NO_LEVEL);
}

export function readOptionalLevel(reader: ByteReader): Level | undefined {
  const level = reader.u8();
  return level === NO_LEVEL ? undefined : levelOf(level);
}

export function writeKeys(writer: ByteWriter, keys: readonly Uint8Array[]): void {
  writer.u32(keys.length);
  for (const key of keys) writer.bytes(key);
}

export function readKeys(reader: ByteReader, countMax: number = limits.keysMax): Uint8Array[] {
  const keys: Uint8Array[] = [];
  for (let left = reader.count(4, countMax); left > 0; left--) keys.push(readKey(reader, 1));
  return keys;
}

export function readKey(reader: ByteReader, bytesMin: number): Uint8Array {
  const key = reader.ownBytes();
  if (key.byteLength > KEY_BYTES_MAX) throw new WireError(`a key has more than ${KEY_BYTES_MAX} bytes`);
  if (key.byteLength < bytesMin) throw new WireError("a key is empty");
  return key;
}

export function writeVersion(writer: ByteWriter, { start, end, type, value }: ReadVersion): void {
  writer.u64(start).u64(end).u8(type).bytes(value);
}

function readVersion(reader: ByteReader): ReadVersion {
  return { start: reader.u64(), end: reader.u64(), type: reader.u8(), value: reader.ownBytes() };
}

export function readVersions(reader: ByteReader): ReadVersion[] {
  const versions: ReadVersion[] = [];
  for (let left = reader.count(21, limits.keysMax); left > 0; left--) versions.push(readVersion(reader));
  return versions;
}

export function writeKeyed(writer: ByteWriter, entry: KeyedVersion): void {
  writer.bytes(entry.key);
  writeVersion(writer, entry);
}

/** u32 count, then key and version each. */
export function writeAllKeyed(writer: ByteWriter, entries: readonly KeyedVersion[]): void {
  writer.u32(entries.length);
  for (const entry of entries) writeKeyed(writer, entry);
}

export function readAllKeyed(reader: ByteReader): KeyedVersion[] {
  const entries: KeyedVersion[] = [];
  for (let left = reader.count(25, limits.keysMax); left > 0; left--)
    entries.push({ key: readKey(reader, 1), ...readVersion(reader) });
  return entries;
}
