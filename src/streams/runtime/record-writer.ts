/** Where users' encoders write: the family's writer, with texts as their bare bytes. */
import type { Writer } from "../api/contract.ts";
import { ByteWriter } from "../wire/bytes.ts";

const encoder = new TextEncoder();

export class RecordWriter extends ByteWriter implements Writer {
  utf8(text: string): void {
    this.raw(encoder.encode(text));
  }
}
