/** Buffers that are used by one after the other, never by two at once. */
import { expect, test } from "bun:test";
import { SpareBuffers } from "../../../src/core/sockets/spare-buffers.ts";

const KIB = 1024;

test("hands out again what was given back, and nothing to two takers", () => {
  const spares = new SpareBuffers(1024 * KIB);
  const [first, second] = [spares.take(100 * KIB), spares.take(100 * KIB)];
  expect(first).not.toBe(second);
  expect(first.byteLength).toBe(128 * KIB);
  spares.giveBack(first);
  expect(spares.take(129 * KIB)).not.toBe(first);
  expect(spares.take(63 * KIB)).toBe(first);
  spares.giveBack(first);
  expect(spares.take(65 * KIB)).toBe(first);
  expect(spares.take(65 * KIB)).not.toBe(first);
});

test("keeps no more than it may", () => {
  const spares = new SpareBuffers(256 * KIB);
  const buffers = Array.from({ length: 4 }, () => spares.take(128 * KIB));
  for (const buffer of buffers) spares.giveBack(buffer);
  expect(spares.keptBytes).toBe(256 * KIB);
  spares.giveBack(spares.take(1024 * KIB));
  expect(spares.keptBytes).toBe(256 * KIB);
});
