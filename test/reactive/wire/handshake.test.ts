/** Handshakes and what clients send: nothing but what was written is read, whatever arrives. */
import { expect, test } from "bun:test";
import fc from "fast-check";
import { crc32c } from "../../../src/core/crc32c.ts";
import { readCommand, readQuery, readResult } from "../../../src/reactive/replication/client-codec.ts";
import { decodeRequests } from "../../../src/reactive/replication/codec.ts";
import { ByteWriter, WireError } from "../../../src/reactive/wire/bytes.ts";
import { FrameReader } from "../../../src/reactive/wire/frame.ts";
import {
  isSameToken,
  readFailure,
  readHello,
  readWelcome,
  writeFailure,
  writeHello,
  writeWelcome,
} from "../../../src/reactive/wire/handshake.ts";

const bytesOf = (write: (writer: ByteWriter) => void): Uint8Array => {
  const writer = new ByteWriter();
  write(writer);
  return writer.done();
};

test("hello, welcome and failure come out as they went in", () => {
  const hello = { peer: { replica: 2, replicas: 5 }, group: "shard0", token: "secret ü" };
  expect(readHello(bytesOf((writer) => writeHello(writer, hello)))).toEqual(hello);
  const client = { peer: undefined, group: "", token: "" };
  expect(readHello(bytesOf((writer) => writeHello(writer, client)))).toEqual(client);
  const welcome = { replica: 1, replicas: 3, payloadBytesMax: 1 << 20, view: 77, group: "tss" };
  expect(readWelcome(bytesOf((writer) => writeWelcome(writer, welcome)))).toEqual(welcome);
  const failure = { code: 2, text: "no" };
  expect(readFailure(bytesOf((writer) => writeFailure(writer, failure)))).toEqual(failure);
});

const readers = { readHello, readWelcome, readFailure, readCommand, readQuery, readResult, decodeRequests };

test.each(Object.entries(readers))("%s takes arbitrary bytes with a value or a WireError", (_name, read) => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 80 }), (bytes) => {
      try {
        read(bytes);
      } catch (error) {
        expect(error).toBeInstanceOf(WireError);
      }
    }),
    { numRuns: 2000 },
  );
});

test("a stream of arbitrary bytes gives no frame", () => {
  fc.assert(
    fc.property(fc.array(fc.uint8Array({ maxLength: 40 }), { maxLength: 8 }), (chunks) => {
      const reader = new FrameReader(crc32c, () => 1000);
      let frames = 0;
      try {
        for (const chunk of chunks) reader.feed(chunk, () => void frames++);
      } catch (error) {
        expect(error).toBeInstanceOf(WireError);
      }
      expect(frames).toBe(0);
    }),
    { numRuns: 2000 },
  );
});

test("tokens are equal only when they are", () => {
  expect(isSameToken("right", "right")).toBe(true);
  expect(isSameToken("righT", "right")).toBe(false);
  expect(isSameToken("", "right")).toBe(false);
});
