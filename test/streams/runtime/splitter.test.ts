/** Where records begin in a run of them: what a connection that broke in the middle of one goes on with. */
import { expect, test } from "bun:test";
import fc from "fast-check";
import { framed, lines, type Framing } from "node-x/stream";
import { RecordWriter } from "../../../src/streams/runtime/record-writer.ts";
import { recordStartOf, splitterOf, writeRecord } from "../../../src/streams/runtime/splitter.ts";

const framings: [string, Framing][] = [
  ["lines", lines()],
  ["one byte of length", framed(1)],
  ["two bytes of length", framed(2)],
  ["four bytes of length", framed(4)],
];

test.each(framings)("every byte belongs to the record that holds it: %s", (_name, framing) => {
  const body = fc
    .uint8Array({ maxLength: 255 })
    .map((bytes) => bytes.map((byte) => (byte === 10 ? 0 : byte)));
  fc.assert(
    fc.property(fc.array(body, { minLength: 1, maxLength: 5 }), (bodies) => {
      const out = new RecordWriter();
      const starts: number[] = [];
      for (const each of bodies) {
        const start = out.length;
        writeRecord(out, framing, (writer) => writer.raw(each));
        while (starts.length < out.length) starts.push(start);
      }
      const run = out.done().slice();
      expect(Array.from(run, (_, at) => recordStartOf(run, at, framing))).toEqual(starts);
      const found: Uint8Array[] = [];
      splitterOf(framing).feed(run, (bytes, start, end) => void found.push(bytes.slice(start, end)));
      expect(found.length).toBe(bodies.length);
    }),
  );
});
