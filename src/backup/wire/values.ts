/**
 * The composite values of packets and metadata files, each behind its mark of 16 bits.
 *
 *   Snapshot 0x0311  begin, end                      State   0x0313  applying, timestamp, from, to
 *   Diff     0x0312  mergeable, comparison, timestamp, from, to, bytes
 *   AddressPort      text, u16                       Compression     u8 id, u8 level, u8 threads
 *   Forwarding (HostInfoForBkp)  AddressPort, Compression, u32 delay in seconds
 *   FullReplication  State, progress in blocks, timestamp
 */
import { isSound, type MetaDiff, type MetaState, type Snapshot } from "../algebra/snapshot.ts";
import { type Compression, compressionNames } from "../formats/compression.ts";
import { malformed, MemoryFeed, Reader, Writer } from "./serial.ts";

const MARK = { snapshot: 0x0311, diff: 0x0312, state: 0x0313 } as const;

async function mark(reader: Reader, wanted: keyof typeof MARK): Promise<void> {
  const got = await reader.u16();
  if (got !== MARK[wanted]) throw malformed(`no ${wanted} but a mark 0x${got.toString(16)}`);
}

export function writeSnapshot(writer: Writer, { begin, end }: Snapshot): Writer {
  return writer.u16(MARK.snapshot).u64(begin).u64(end);
}

export async function readSnapshot(reader: Reader): Promise<Snapshot> {
  await mark(reader, "snapshot");
  const snapshot = { begin: await reader.u64(), end: await reader.u64() };
  if (snapshot.begin > snapshot.end) throw malformed("a snapshot ends before it begins");
  return snapshot;
}

export function writeDiff(writer: Writer, diff: MetaDiff): Writer {
  writer.u16(MARK.diff).bool(diff.isMergeable).bool(diff.isComparison).u64(diff.timestamp);
  return writeSnapshot(writeSnapshot(writer, diff.from), diff.to).u64(diff.dataBytes);
}

const SAFE = Number.MAX_SAFE_INTEGER;

export async function readDiff(reader: Reader): Promise<MetaDiff> {
  await mark(reader, "diff");
  const diff = {
    isMergeable: await reader.bool(),
    isComparison: await reader.bool(),
    timestamp: await reader.count(253402300799, "a timestamp"),
    from: await readSnapshot(reader),
    to: await readSnapshot(reader),
    dataBytes: await reader.count(SAFE, "the size of a diff"),
  };
  if (!isSound(diff)) throw malformed("a diff does not lead forward");
  return diff;
}

export function writeState(writer: Writer, { isApplying, timestamp, from, to }: MetaState): Writer {
  writer.u16(MARK.state).bool(isApplying).u64(timestamp);
  return writeSnapshot(writeSnapshot(writer, from), to);
}

export async function readState(reader: Reader): Promise<MetaState> {
  await mark(reader, "state");
  return {
    isApplying: await reader.bool(),
    timestamp: await reader.count(253402300799, "a timestamp"),
    from: await readSnapshot(reader),
    to: await readSnapshot(reader),
  };
}

export function writeCompression(writer: Writer, { id, level, threads }: Compression): Writer {
  return writer.u8(id).u8(level).u8(threads);
}

export async function readCompression(reader: Reader): Promise<Compression> {
  const compression = { id: await reader.u8(), level: await reader.u8(), threads: await reader.u8() };
  const { id, level, threads } = compression;
  if (id >= compressionNames.length || level > 9 || threads === 0) throw malformed("an unknown compression");
  return compression;
}

/** How far a full replication has come that is not complete yet: from which state of the source, up to which block. */
export interface FullReplication {
  state: MetaState;
  progressBlocks: number;
  timestamp: number;
}

export function writeFullReplication(
  writer: Writer,
  { state, progressBlocks, timestamp }: FullReplication,
): Writer {
  return writeState(writer, state).u64(progressBlocks).u64(timestamp);
}

export async function readFullReplication(reader: Reader): Promise<FullReplication> {
  return {
    state: await readState(reader),
    progressBlocks: await reader.count(SAFE, "the progress of a replication"),
    timestamp: await reader.count(253402300799, "a timestamp"),
  };
}

export interface AddressPort {
  host: string;
  port: number;
}

/** `HOST:PORT`; undefined when it is none. */
export function parseAddress(text: string): AddressPort | undefined {
  const match = /^([^:\s]+):(\d{1,5})$/.exec(text);
  const port = Number(match?.[2]);
  return match === null || port < 1 || port > 65535 ? undefined : { host: match[1] as string, port };
}

/** Where and how a proxy forwards diffs. */
export interface Forwarding {
  archive: AddressPort;
  compression: Compression;
  delaySeconds: number;
}

export function writeForwarding(writer: Writer, { archive, compression, delaySeconds }: Forwarding): Writer {
  return writeCompression(writer.text(archive.host).u16(archive.port), compression).u32(delaySeconds);
}

export async function readForwarding(reader: Reader): Promise<Forwarding> {
  const archive = { host: await reader.text(255), port: await reader.u16() };
  return { archive, compression: await readCompression(reader), delaySeconds: await reader.u32() };
}

/** Reads a whole metadata file with `read`; throws when something is left. */
export async function decodeFile<Value>(
  bytes: Uint8Array,
  read: (reader: Reader) => Promise<Value>,
): Promise<Value> {
  const feed = new MemoryFeed(bytes);
  const value = await read(new Reader(feed));
  if (feed.left > 0) throw malformed(`${feed.left} bytes too many`);
  return value;
}
