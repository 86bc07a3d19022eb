/** The threads that scan: everybody gets their own answers, those who wait share a pass, who is gone stops it. */
import { afterAll, expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { seededRandom } from "../../../src/core/seams/random.ts";
import { nativeEngine } from "../../../src/presence/pir/native-engine.ts";
import type { Layout } from "../../../src/presence/protocol/layout.ts";
import { ScanPool, type ScanTarget } from "../../../src/presence/server/scan-pool.ts";

const directory = mkdtempSync(join(tmpdir(), "node-x-scans-"));
afterAll(() => rmSync(directory, { recursive: true }));
const random = seededRandom(5);
const engine = nativeEngine();

function database(
  name: string,
  partitions: number,
  rows: number,
  bucketSize: number,
): ScanTarget & { data: Uint8Array } {
  const layout: Layout = { partitions, rows, bucketSize, recordBytes: 26, proofBytes: 0 };
  const data = random.bytes(partitions * rows * bucketSize * 26);
  const path = join(directory, name);
  writeFileSync(path, data);
  return { path, layout, data };
}

/** What one client should get: each partition by itself. */
function wanted(
  { data, layout }: ReturnType<typeof database>,
  queries: Uint8Array,
  count: number,
): Uint8Array {
  const { partitions, rows, bucketSize } = layout;
  const stride = bucketSize * 26;
  const parts = Array.from({ length: partitions }, (_, partition) =>
    engine.answer(
      data.subarray(partition * rows * stride, (partition + 1) * rows * stride),
      ...([rows, stride] as const),
      queries.subarray(partition * rows * count, (partition + 1) * rows * count),
      count,
    ),
  );
  return new Uint8Array(Buffer.concat(parts));
}

test("requests that wait share the next pass, and each gets its own answers", async () => {
  const pool = new ScanPool({ threads: 1, waitingMax: 100, answerBytesMax: 1 << 30 });
  try {
    const [table, batched] = [database("table", 1, 50, 7), database("batched", 6, 9, 4)];
    const requests = Array.from({ length: 30 }, (_, index) => {
      const target = index % 3 === 0 ? batched : table;
      const count = target === batched ? 1 : 1 + (index % 5);
      const queries = random.bytes(target.layout.partitions * target.layout.rows * count);
      return { target, count, queries };
    });
    const answers = await Promise.all(
      requests.map(({ target, count, queries }) => pool.answer(target, queries, count)),
    );
    for (const [index, { target, count, queries }] of requests.entries())
      expect(Buffer.compare(answers[index] as Uint8Array, wanted(target, queries, count))).toBe(0);
    // The first goes alone; all others are taken in one pass for each database.
    expect(pool.figures).toMatchObject({ requests: 30, scans: 3 });
  } finally {
    pool.close();
  }
});

test("a scan whose only client is gone is stopped, and one that others wait for is not", async () => {
  const pool = new ScanPool({ threads: 1, waitingMax: 100, answerBytesMax: 1 << 30 });
  try {
    const large = database("large", 1, 3000, 200);
    const queries = random.bytes(3000 * 200);
    const gone = new AbortController();
    const startMs = performance.now();
    const whole = await pool.answer(large, queries, 200);
    const wholeMs = performance.now() - startMs;
    expect(whole?.byteLength).toBe(200 * 200 * 26);

    const lost = pool.answer(large, queries, 200, gone.signal);
    gone.abort();
    expect(await lost).toBeUndefined();
    expect(pool.figures.cancelled).toBe(1);
    const kept = await pool.answer(large, queries.subarray(0, 3000), 1);
    expect(Buffer.compare(kept as Uint8Array, wanted(large, queries.subarray(0, 3000), 1))).toBe(0);
    expect(wholeMs).toBeGreaterThan(0);

    // Two share a pass, one of them leaves: the other is served.
    const busy = pool.answer(large, queries, 200);
    const leaving = new AbortController();
    const [one, other] = [
      pool.answer(large, queries.subarray(0, 3000), 1, leaving.signal),
      pool.answer(large, queries.subarray(0, 3000), 1),
    ];
    leaving.abort();
    expect(await one).toBeUndefined();
    expect(Buffer.compare((await other) as Uint8Array, kept as Uint8Array)).toBe(0);
    await busy;
  } finally {
    pool.close();
  }
});

test("more waiting requests than allowed are refused, and closing leaves nobody waiting", async () => {
  const pool = new ScanPool({ threads: 1, waitingMax: 2, answerBytesMax: 1 << 30 });
  const small = database("small", 1, 10, 2);
  const ask = () => pool.answer(small, random.bytes(10), 1);
  const outcomes = await Promise.allSettled([ask(), ask(), ask(), ask(), ask()]);
  expect(outcomes.filter(({ status }) => status === "rejected")).toHaveLength(2);
  const late = ask();
  pool.close();
  await expect(late).rejects.toThrow();
  await expect(ask()).rejects.toThrow(/wait/);
});
