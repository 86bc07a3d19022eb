/** See nats-faults.ts for what happens and what is judged; `bun run soak nats` does it for longer. */
import { expect, test } from "bun:test";
import { judge, runNatsQueue, runNatsWorker } from "./nats-faults.ts";

const LIMIT_MS = 180_000;

test(
  "a queue on three servers loses nothing that it acknowledged when one of them dies, and when it dies itself",
  async () => {
    const { violations, ...figures } = await runNatsQueue({ rounds: 2, seed: 1 });
    console.log(JSON.stringify(figures));
    expect(violations).toEqual([]);
    expect(figures.killed).toBe(2);
  },
  LIMIT_MS,
);

test(
  "between streams on three servers every record is counted and comes out once, whoever dies",
  async () => {
    const { violations, ...figures } = await runNatsWorker({ rounds: 2, seed: 1 });
    console.log(JSON.stringify(figures));
    expect(violations).toEqual([]);
  },
  LIMIT_MS,
);

test("the judge notices a count that is missing, doubled or too many", () => {
  const good = Array.from({ length: 14 }, (_, record) => `word${record % 7}: ${Math.floor(record / 7) + 1}`);
  expect(judge(good, 14)).toEqual([]);
  expect(judge(good.slice(1), 14)).toEqual(['"word0: 1" came 0 times']);
  expect(judge([...good, "word3: 1"], 14)).toEqual(['"word3: 1" came 2 times']);
  expect(judge([...good, "word3: 3"], 14)).toEqual(['"word3: 3" was never due']);
});
