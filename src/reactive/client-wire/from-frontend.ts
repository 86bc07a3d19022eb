/**
 * What frontends send, as bytes; codec.ts says how they travel and how fields are written.
 *
 *   frontend → client
 *   65 welcome   protocol u32; known u64; principal text; message bytes max u32; watches max u32; watched keys max u32;
 *                tables u32 count, each: prefix bytes; level u8 (255: none); value type u8; rights u8 (1 read, 2 write)
 *   66 begun     request u32; at u64
 *   67 values    request u32; at u64; u32 count, each a version
 *   68 scanned   request u32; at u64; is more u8; u32 count, each: key bytes; a version
 *   69 settled   request u32; kind u8: 0 aborted, 1 committed: timestamp u64, 2 forgotten, 3 refused: reason u8, key bytes
 *   70 watching  request u32; watch u32; at u64
 *   71 unwatched request u32; watch u32
 *   72 runs      at u64; u32 count, each: watch u32; since u64; cause u8 (0 first, 1 changed, 2 refetch); changes u32;
 *                u32 count, each: key bytes; a version
 *   73 progress  at u64
 *   74 pong
 *   75 failed    request u32; code u8 (position in failureCodes); text
 */
import { refusals } from "../shard/commands.ts";
import { type ByteReader, type ByteWriter, WireError } from "../wire/bytes.ts";
import {
  oneOf,
  readKey,
  readAllKeyed,
  readOptionalLevel,
  readRequest,
  readVersions,
  writeAllKeyed,
  writeOptionalLevel,
  writeVersion,
} from "./fields.ts";
import {
  causes,
  failureCodes,
  limits,
  type Run,
  type ServerMessage,
  type Settlement,
  type TableInfo,
} from "./messages.ts";

export const serverCodes = {
  welcome: 65,
  begun: 66,
  values: 67,
  scanned: 68,
  settled: 69,
  watching: 70,
  unwatched: 71,
  runs: 72,
  progress: 73,
  pong: 74,
  failed: 75,
} as const;

const REFUSED = 3;
const outcomeKinds = ["aborted", "committed", "forgotten"] as const;

const SETTLED_BYTES = 14;
const VALUES_BYTES_MIN = 17;
/** Without its value. */
const VERSION_BYTES_MIN = 21;

/** What a message takes, of those that are sent by far the most; undefined: it is found out. */
export function serverMessageBytes(message: ServerMessage): number | undefined {
  if (message.type === "settled") return SETTLED_BYTES;
  if (message.type !== "values") return undefined;
  return message.versions.reduce(
    (sum, { value }) => sum + VERSION_BYTES_MIN + value.byteLength,
    VALUES_BYTES_MIN,
  );
}

export function writeServerMessage(writer: ByteWriter, message: ServerMessage): void {
  writer.u8(serverCodes[message.type]);
  switch (message.type) {
    case "welcome":
      writer.u32(message.protocol).u64(message.known).text(message.principal);
      writer.u32(message.messageBytesMax).u32(message.watchesMax).u32(message.watchedKeysMax);
      writeTables(writer, message.tables);
      return;
    case "begun":
      writer.u32(message.request).u64(message.at);
      return;
    case "values":
      writer.u32(message.request).u64(message.at).u32(message.versions.length);
      for (const version of message.versions) writeVersion(writer, version);
      return;
    case "scanned":
      writer
        .u32(message.request)
        .u64(message.at)
        .u8(message.isMore ? 1 : 0);
      writeAllKeyed(writer, message.entries);
      return;
    case "settled":
      writer.u32(message.request);
      writeSettlement(writer, message.outcome);
      return;
    case "watching":
      writer.u32(message.request).u32(message.watch).u64(message.at);
      return;
    case "unwatched":
      writer.u32(message.request).u32(message.watch);
      return;
    case "runs":
      writer.u64(message.at).u32(message.runs.length);
      for (const run of message.runs) {
        writeRunHead(writer, run);
        writeAllKeyed(writer, run.values);
      }
      return;
    case "progress":
      writer.u64(message.at);
      return;
    case "failed":
      writer.u32(message.request).u8(failureCodes.indexOf(message.code)).text(message.text);
      return;
    case "pong":
  }
}

export function readServerMessage(reader: ByteReader, code: number): ServerMessage {
  switch (code) {
    case serverCodes.welcome:
      return readWelcome(reader);
    case serverCodes.begun:
      return { type: "begun", request: readRequest(reader), at: reader.u64() };
    case serverCodes.values:
      return {
        type: "values",
        request: readRequest(reader),
        at: reader.u64(),
        versions: readVersions(reader),
      };
    case serverCodes.scanned:
      return {
        type: "scanned",
        request: readRequest(reader),
        at: reader.u64(),
        isMore: reader.u8() !== 0,
        entries: readAllKeyed(reader),
      };
    case serverCodes.settled:
      return { type: "settled", request: readRequest(reader), outcome: readSettlement(reader) };
    case serverCodes.watching:
      return { type: "watching", request: readRequest(reader), watch: reader.u32(), at: reader.u64() };
    case serverCodes.unwatched:
      return { type: "unwatched", request: readRequest(reader), watch: reader.u32() };
    case serverCodes.runs:
      return { type: "runs", at: reader.u64(), runs: readRuns(reader) };
    case serverCodes.progress:
      return { type: "progress", at: reader.u64() };
    case serverCodes.pong:
      return { type: "pong" };
    case serverCodes.failed:
      return {
        type: "failed",
        request: reader.u32(),
        code: oneOf(failureCodes, reader.u8()),
        text: reader.text(),
      };
    default:
      throw new WireError(`${code} is no message of a frontend`);
  }
}

function readWelcome(reader: ByteReader): ServerMessage {
  const protocol = reader.u32();
  const known = reader.u64();
  const principal = reader.text();
  const messageBytesMax = reader.u32();
  const watchesMax = reader.u32();
  const watchedKeysMax = reader.u32();
  const tables: TableInfo[] = [];
  for (let left = reader.count(7, limits.tablesMax); left > 0; left--) tables.push(readTable(reader));
  return { type: "welcome", protocol, known, principal, messageBytesMax, watchesMax, watchedKeysMax, tables };
}

function writeTables(writer: ByteWriter, tables: readonly TableInfo[]): void {
  writer.u32(tables.length);
  for (const { prefix, level, valueType, mayRead, mayWrite } of tables) {
    writer.bytes(prefix);
    writeOptionalLevel(writer, level);
    writer.u8(valueType).u8((mayRead ? 1 : 0) | (mayWrite ? 2 : 0));
  }
}

function readTable(reader: ByteReader): TableInfo {
  const prefix = readKey(reader, 0);
  const level = readOptionalLevel(reader);
  const valueType = reader.u8();
  const rights = reader.u8();
  return { prefix, level, valueType, mayRead: (rights & 1) !== 0, mayWrite: (rights & 2) !== 0 };
}

/** All of a run but its values: for those who have them encoded already. */
export function writeRunHead(
  writer: ByteWriter,
  { watch, since, cause, changes }: Omit<Run, "values">,
): void {
  writer.u32(watch).u64(since).u8(causes.indexOf(cause)).u32(changes);
}

function readRuns(reader: ByteReader): Run[] {
  const runs: Run[] = [];
  for (let left = reader.count(21, limits.keysMax); left > 0; left--)
    runs.push({
      watch: reader.u32(),
      since: reader.u64(),
      cause: oneOf(causes, reader.u8()),
      changes: reader.u32(),
      values: readAllKeyed(reader),
    });
  return runs;
}

function writeSettlement(writer: ByteWriter, outcome: Settlement): void {
  if (outcome.kind === "refused") {
    writer.u8(REFUSED).u8(refusals.indexOf(outcome.reason)).bytes(outcome.key);
    return;
  }
  writer.u8(outcomeKinds.indexOf(outcome.kind));
  if (outcome.kind === "committed") writer.u64(outcome.timestamp);
}

function readSettlement(reader: ByteReader): Settlement {
  const code = reader.u8();
  if (code === REFUSED)
    return { kind: "refused", reason: oneOf(refusals, reader.u8()), key: readKey(reader, 0) };
  const kind = oneOf(outcomeKinds, code);
  return kind === "committed" ? { kind, timestamp: reader.u64() } : { kind };
}
