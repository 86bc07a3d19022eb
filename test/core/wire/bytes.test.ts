/** Copies of bytes: what shares no memory with what it was made of, whatever that is. */
import { expect, test } from "bun:test";
import { copyOf } from "../../../src/core/wire/bytes.ts";
import { ByteReader, ByteWriter, WireError } from "../../../src/reactive/wire/bytes.ts";

const numbers = (length: number) => Uint8Array.from({ length }, (_, index) => index);

test.each([0, 1, 47, 48, 49, 300])("a copy of %d bytes is the same and stays so", (length) => {
  for (const source of [numbers(length + 10), Buffer.from(numbers(length + 10))]) {
    const part = copyOf(source, 3, length);
    const all = copyOf(source);
    source.fill(255);
    expect(part).toEqual(numbers(length + 3).slice(3));
    expect(all).toEqual(numbers(length + 10));
  }
});

test("a reader's own bytes outlive what it reads from; its others do not", () => {
  const bytes = new ByteWriter().bytes(numbers(5)).bytes(numbers(60)).raw(numbers(3)).done();
  const reader = new ByteReader(bytes);
  const shared = new ByteReader(bytes).bytes();
  const own = [reader.ownBytes(), reader.ownBytes(), reader.ownRest()];
  reader.end();
  bytes.fill(9);
  expect(own).toEqual([numbers(5), numbers(60), numbers(3)]);
  expect(shared).toEqual(new Uint8Array(5).fill(9));
});

test("own bytes that are cut short are refused before anything is allocated", () => {
  expect(() => new ByteReader(new ByteWriter().u32(0xffff_ffff).done()).ownBytes()).toThrow(WireError);
});
