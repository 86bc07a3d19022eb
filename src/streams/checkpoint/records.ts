/**
 * What the state log of a worker holds, one record after the other. Big-endian.
 *
 *   type  name       body behind the u8 type
 *      1  put        u16 step, u32 key bytes, key (UTF-8), u32 state bytes, state
 *      2  remove     u16 step, u32 key bytes, key
 *      3  prepared   u64 checkpoint, u32 bytes, meta (JSON): the records since the last one belong to it
 *      4  committed  u64 checkpoint, u32 bytes, layout (JSON)
 *      5  rollback   u64 checkpoint that was gone back to: what stands between it and here is void
 *      6  steps      u16 count, count x (u16 bytes, name): what the step numbers that follow mean
 *      7  cluster    u32 bytes, JSON: what the worker knows of its cluster
 *      8  output     u16 sink, u32 bytes, output of the interval that waits for the commit
 *      9  released   u64 checkpoint whose output went out
 *     10  forgotten  nothing: everything before is void, the worker is a newcomer
 *
 * Invariant: a record is read to its last byte or refused; an append to the log holds whole records.
 */
import { ByteReader, type ByteWriter, WireError } from "../wire/bytes.ts";

export const STATE_LOG_FORMAT = 1;

const Type = {
  put: 1,
  remove: 2,
  prepared: 3,
  committed: 4,
  rollback: 5,
  steps: 6,
  cluster: 7,
  output: 8,
  released: 9,
  forgotten: 10,
} as const;

export type StateRecord =
  | { type: "put"; step: number; key: string; image: Uint8Array }
  | { type: "remove"; step: number; key: string }
  | { type: "prepared"; checkpoint: number; meta: string }
  | { type: "committed"; checkpoint: number; layout: string }
  | { type: "rollback"; checkpoint: number }
  | { type: "steps"; names: readonly string[] }
  | { type: "cluster"; json: string }
  | { type: "output"; sink: number; bytes: Uint8Array }
  | { type: "released"; checkpoint: number }
  | { type: "forgotten" };

export function writeStateRecord(writer: ByteWriter, record: StateRecord): void {
  writer.u8(Type[record.type]);
  switch (record.type) {
    case "put":
      writer.u16(record.step).text(record.key).bytes(record.image);
      break;
    case "remove":
      writer.u16(record.step).text(record.key);
      break;
    case "prepared":
      writer.u64(record.checkpoint).text(record.meta);
      break;
    case "committed":
      writer.u64(record.checkpoint).text(record.layout);
      break;
    case "rollback":
    case "released":
      writer.u64(record.checkpoint);
      break;
    case "steps":
      writer.u16(record.names.length);
      for (const name of record.names) writer.short(name);
      break;
    case "cluster":
      writer.text(record.json);
      break;
    case "output":
      writer.u16(record.sink).bytes(record.bytes);
      break;
    case "forgotten":
      break;
  }
}

/** Reads the next record. `image` and `bytes` are views. Throws WireError. */
export function readStateRecord(reader: ByteReader): StateRecord {
  const type = reader.u8();
  switch (type) {
    case Type.put:
      return { type: "put", step: reader.u16(), key: reader.text(), image: reader.bytes() };
    case Type.remove:
      return { type: "remove", step: reader.u16(), key: reader.text() };
    case Type.prepared:
      return { type: "prepared", checkpoint: reader.u64(), meta: reader.text() };
    case Type.committed:
      return { type: "committed", checkpoint: reader.u64(), layout: reader.text() };
    case Type.rollback:
      return { type: "rollback", checkpoint: reader.u64() };
    case Type.steps: {
      const count = reader.u16();
      if (count * 2 > reader.remaining) throw new WireError("a list of steps is cut short");
      return { type: "steps", names: Array.from({ length: count }, () => reader.short()) };
    }
    case Type.cluster:
      return { type: "cluster", json: reader.text() };
    case Type.output:
      return { type: "output", sink: reader.u16(), bytes: reader.bytes() };
    case Type.released:
      return { type: "released", checkpoint: reader.u64() };
    case Type.forgotten:
      return { type: "forgotten" };
    default:
      throw new WireError(`there is no record of type ${type} in a state log`);
  }
}
