/**
 * The C of private retrieval: native/test/test-gf8.c under ASan and UBSan and as it is shipped, with mutants that it
 * must notice; and the placing of records against a plain TypeScript model.
 */
import { afterAll, describe, expect, test } from "bun:test";
import { createHash } from "node:crypto";
import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { seededRandom } from "../../src/core/seams/random.ts";
import { bestKernel, gf8Kernels, hasKernel } from "../../src/native/gf8.ts";
import {
  duplicateRules,
  fillTable,
  flattestKey,
  orderRecords,
  type DuplicateRule,
} from "../../src/native/presence-table.ts";
import { nativeEngine } from "../../src/presence/pir/native-engine.ts";
import { typescriptEngine } from "../../src/presence/pir/typescript-engine.ts";
import { compareBytes, isEqual } from "../../src/presence/protocol/bytes.ts";
import { placeOf } from "../../src/presence/protocol/layout.ts";
import { nodePrimitives } from "../../src/presence/protocol/primitives-node.ts";
import { cc, compileObjects, native, run, sanitizers, turnsRed } from "./compile-c.ts";

const sources = [
  ...readdirSync(join(native, "gf8"))
    .filter((name) => name.endsWith(".c"))
    .map((name) => join(native, "gf8", name)),
  join(native, "nx.c"),
];
const testSource = join(native, "test/test-gf8.c");
const directory = mkdtempSync(join(tmpdir(), "node-x-gf8-"));
afterAll(() => rmSync(directory, { recursive: true }));

const build = (objects: string[], flags: string[], program: string) =>
  cc(
    "-std=c11",
    "-D_GNU_SOURCE",
    `-I${native}`,
    ...flags,
    testSource,
    ...objects,
    "-lpthread",
    "-o",
    program,
  );

describe("native/test/test-gf8.c", () => {
  test("passes as it is shipped, on 1,000 random shapes", async () => {
    const program = join(directory, "shipped");
    await build(await compileObjects(sources, ["-O3"], join(directory, "o3")), ["-O2"], program);
    const { code, output } = await run(["timeout", "60", program]);
    expect({ code, failures: output.match(/^(not ok|# .*:\d+: ).*$/gm) }).toEqual({
      code: 0,
      failures: null,
    });
  }, 180_000);

  test("passes under ASan and UBSan", async () => {
    const program = join(directory, "sanitized");
    await build(await compileObjects(sources, sanitizers, join(directory, "asan")), sanitizers, program);
    const { code, output } = await run(["env", "GF8_SHAPES=40", "timeout", "60", program]);
    expect({ code, failures: output.match(/^(not ok|.*ERROR: |.*runtime error: ).*$/gm) }).toEqual({
      code: 0,
      failures: null,
    });
  }, 180_000);

  const mutants = [
    ["answer.c", "a group's last queries are left out", "q += kernel->group", "q += kernel->group + 1"],
    ["kernel-template.h", "the tail of a row is shifted", "bytes[have - tail + i]", "bytes[i]"],
    [
      "reed-solomon.c",
      "fewer liars are looked for",
      "errors = (count - degree - 1) / 2",
      "errors = (count - degree - 1) / 3",
    ],
    ["share.c", "a liar in the base is not put out", "d->right[s] = 0;", ""],
  ] as const;

  test.each(mutants)(
    "turns red when, in %s, %s",
    async (file, _breaks, from, to) => {
      const copy = mkdtempSync(join(directory, "mutant-"));
      cpSync(native, join(copy, "native"), {
        recursive: true,
        filter: (path) => !/fuzz|legacy|resp$/.test(path),
      });
      const path = join(copy, "native/gf8", file);
      const original = readFileSync(path, "utf8");
      expect(original.split(from)).toHaveLength(2);
      writeFileSync(
        path,
        original.replace(from, () => to),
      );
      const mutated = sources.map((source) => source.replace(native, join(copy, "native")));
      const program = join(copy, "mutant");
      await build(await compileObjects(mutated, ["-O1", "-w"], join(copy, "objects")), ["-O1"], program);
      expect(await turnsRed("env", "GF8_SHAPES=40", program)).toBe(true);
    },
    180_000,
  );
});

describe("every kernel of this CPU equals the TypeScript engine", () => {
  const kernels = gf8Kernels.filter((kernel) => kernel !== "auto" && hasKernel(kernel));

  test("there are at least two to compare", () => {
    expect(kernels.length).toBeGreaterThan(1);
    expect(bestKernel()).toBe(kernels[0] as (typeof kernels)[0]);
  });

  test.each(kernels)("%s", (kernel) => {
    const random = seededRandom(7);
    const engine = nativeEngine(kernel);
    for (let round = 0; round < 60; round++) {
      const [rows, rowBytes, count] = [
        1 + random.integer(70),
        1 + random.integer(300),
        1 + random.integer(20),
      ];
      const table = random.bytes(rows * rowBytes);
      const queries = random.bytes(rows * count);
      expect(engine.answer(table, rows, rowBytes, queries, count)).toEqual(
        typescriptEngine.answer(table, rows, rowBytes, queries, count),
      );
      const bits = random.bytes(Math.ceil(rows / 8) * count);
      expect(engine.answerXor(table, rows, rowBytes, bits, count)).toEqual(
        typescriptEngine.answerXor(table, rows, rowBytes, bits, count),
      );
    }
  });

  test("decoding agrees, also where it must refuse", () => {
    const random = seededRandom(8);
    const engine = nativeEngine();
    for (let round = 0; round < 300; round++) {
      const servers = 2 + random.integer(7);
      const degree = 1 + random.integer(servers - 1);
      const length = 1 + random.integer(30);
      const points = Array.from({ length: servers }, (_, index) => index + 1);
      const shares = engine.share(points, degree, length, [0], random.bytes(degree * length));
      for (let lie = random.integer(servers); lie > 0; lie--)
        (shares[random.integer(servers)] as Uint8Array)[random.integer(length)]! ^= 1 + random.integer(255);
      expect(engine.decode(points, degree, shares)).toEqual(typescriptEngine.decode(points, degree, shares));
    }
  });
});

describe("records are placed as a plain model places them", () => {
  /** The rules of native/presence/table.h, written down plainly. */
  function model(records: Uint8Array[], rule: DuplicateRule, idBytes: number): Uint8Array[] {
    const kept: Uint8Array[] = [];
    const sameKey = (a: Uint8Array, b: Uint8Array) =>
      rule === "each" ? isEqual(a, b) : isEqual(a.subarray(0, idBytes), b.subarray(0, idBytes));
    for (const record of records) {
      const at = kept.findIndex((other) => sameKey(other, record));
      if (at < 0) kept.push(record);
      else if (rule === "largest" && compareBytes(record, kept[at] as Uint8Array) > 0) kept[at] = record;
    }
    return kept.sort(compareBytes);
  }

  test.each(duplicateRules)("duplicates: %s", (rule) => {
    const random = seededRandom(9);
    for (let round = 0; round < 30; round++) {
      const [idBytes, recordBytes] = [10, 26];
      const ids = Array.from({ length: 20 }, () => random.bytes(idBytes));
      const records = Array.from({ length: random.integer(60) }, () => {
        const record = random.bytes(recordBytes);
        // Few different records under few ids, so that all kinds of duplicates come up.
        record.set(ids[random.integer(20)] as Uint8Array);
        record.fill(random.integer(3), idBytes);
        return record;
      });
      const joined = new Uint8Array(Buffer.concat(records));
      const order = orderRecords({ records: joined, recordBytes, idBytes }, rule);
      const got = Array.from(order, (position) => records[position] as Uint8Array);
      expect(got.map((record) => Buffer.from(record).toString("hex"))).toEqual(
        model(records, rule, idBytes).map((record) => Buffer.from(record).toString("hex")),
      );
    }
  });

  test.each([
    [1, false],
    [1, true],
    [150, false],
  ] as const)("%i partitions, descending: %p", (partitions, isDescending) => {
    const random = seededRandom(11);
    const [idBytes, recordBytes, rows, count] = [16, 60, 17, 300];
    const records = random.bytes(recordBytes * count);
    const source = { records, recordBytes, idBytes };
    const order = orderRecords(source, "first");
    const keys = Array.from({ length: 4 }, () => random.bytes(16));
    const flattest = flattestKey(source, order, keys, rows, partitions);
    const stride = flattest.bucketSize * recordBytes + 32;
    const buckets = new Map<number, Uint8Array[]>();
    for (const position of order) {
      const record = records.subarray(position * recordBytes, (position + 1) * recordBytes);
      const place = placeOf(nodePrimitives, flattest.key, record.subarray(0, idBytes), { rows, partitions });
      for (const partition of place.partitions) {
        const index = partition * rows + place.bucket;
        buckets.set(index, [...(buckets.get(index) ?? []), record]);
      }
    }
    expect(flattest.bucketSize).toBe(Math.max(...[...buckets.values()].map(({ length }) => length)));
    const table = new Uint8Array(partitions * rows * stride);
    fillTable(source, order, flattest, { rows, partitions, stride, isDescending }, table);
    for (let index = 0; index < partitions * rows; index++) {
      const own = buckets.get(index) ?? [];
      if (isDescending) own.reverse();
      const bucket = Buffer.alloc(stride);
      own.forEach((record, at) => bucket.set(record, (flattest.bucketSize - own.length + at) * recordBytes));
      expect(Buffer.compare(bucket, table.subarray(index * stride, (index + 1) * stride))).toBe(0);
    }
  });

  test("the hash in C is SHA-256, on both paths", async () => {
    const program = join(directory, "sha");
    const main = join(directory, "sha.c");
    writeFileSync(
      main,
      `#include <stdio.h>
#include <string.h>
#include "presence/sha256.h"
int main(void) {
  uint8_t message[55], soft[32], hard[32];
  for (int i = 0; i < 55; i++) message[i] = (uint8_t)(i * 7);
  for (uint32_t length = 0; length <= 55; length++) {
    nx_sha256_short_software(message, length, soft);
    if (nx_sha256_has_hardware()) nx_sha256_short_hardware(message, length, hard);
    if (nx_sha256_has_hardware() && memcmp(soft, hard, 32) != 0) return 1;
    for (int i = 0; i < 32; i++) printf("%02x", soft[i]);
    puts("");
  }
}
`,
    );
    const both = [join(native, "presence/sha256.c"), join(native, "nx.c")];
    await cc("-std=c11", "-D_GNU_SOURCE", "-O1", `-I${native}`, main, ...both, "-lpthread", "-o", program);
    const { code, output } = await run([program]);
    const message = Uint8Array.from({ length: 55 }, (_, index) => index * 7);
    const wanted = Array.from({ length: 56 }, (_, length) =>
      createHash("sha256").update(message.subarray(0, length)).digest("hex"),
    );
    expect({ code, lines: output.trim().split("\n") }).toEqual({ code: 0, lines: wanted });
  });
});
