/**
 * What an append log looks like in a JetStream stream: the subjects of its messages and their headers.
 *
 *   <stream>.claim    whoever writes from here on                  no body
 *   <stream>.effects  a part of a group of appends                 its bytes
 *   <stream>.begin    a snapshot of all before it begins           no body
 *   <stream>.slice    a part of a slice of the snapshot            its bytes
 *   <stream>.end      the snapshot is whole                        no body
 *
 *   Node-X-Writer   16 hex digits, drawn at each start             every message
 *   Node-X-Number   of the message among its writer's, from 1      every message
 *   Node-X-Crc      CRC-32C of the body, decimal                   every message
 *   Node-X-Part     `more` when the next part belongs to it, else `last`   effects, slice
 *   Node-X-Instance what its operator calls the writer             claim
 *   Node-X-Format   version of the owner's payloads                claim
 *   Node-X-Begin    sequence of the snapshot's `begin`             slice, end
 *   Node-X-Slices   how many slices it has                         end
 *
 * Every message but a claim is written with `Nats-Expected-Last-Sequence`: it is stored directly behind the one its writer
 * knows to be the last, or not at all. So a stream holds one writer's messages behind the other's, without a gap.
 */
import { NxError } from "../../errors.ts";
import type { Crc32c } from "../../crc32c.ts";
import type { StoredMessage } from "../read-stream.ts";

export type Kind = "claim" | "effects" | "begin" | "slice" | "end";

export const Header = {
  writer: "Node-X-Writer",
  number: "Node-X-Number",
  crc: "Node-X-Crc",
  part: "Node-X-Part",
  instance: "Node-X-Instance",
  format: "Node-X-Format",
  begin: "Node-X-Begin",
  slices: "Node-X-Slices",
} as const;

/** Room in a message for its headers, beside the server's largest payload. */
export const HEADERS_BYTES_MAX = 4096;

export const subjectOf = (stream: string, kind: Kind) => `${stream}.${kind}`;

/** Whole payloads out of their parts. A writer that died between two parts left one that nobody was promised. */
export class PartsReader {
  #parts: Uint8Array[] = [];
  readonly #stream: string;
  readonly #crc32c: Crc32c;

  constructor(stream: string, crc32c: Crc32c) {
    this.#stream = stream;
    this.#crc32c = crc32c;
  }

  /** The payload that this part completes; undefined while there are more. Throws NX_DATA_CORRUPT. */
  add({ sequence, data, header }: StoredMessage): Uint8Array | undefined {
    if (header(Header.crc) !== String(this.#crc32c(data, 0)))
      throw new NxError("NX_DATA_CORRUPT", `the message ${sequence} of the stream ${this.#stream} does not have the checksum it was written with`, {
        hint: "a server's file is damaged: restore the stream from a replica or a backup",
      }); // prettier-ignore
    if (header(Header.part) === "more") {
      this.#parts.push(data.slice());
      return undefined;
    }
    if (this.#parts.length === 0) return data;
    return Buffer.concat([...this.#parts.splice(0), data]);
  }

  forget(): void {
    this.#parts = [];
  }
}
