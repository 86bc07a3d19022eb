/** Records that are on their way to a node together. */
import { expect, test } from "bun:test";
import { RecordSender } from "../../../src/streams/connectors/in-order.ts";

const recordsOf = (count: number) => Array.from({ length: count }, (_, index) => Uint8Array.of(index));

test("at most so many are on their way at once, in order, and each is sent once", async () => {
  const [sent, answers] = [[] as number[], [] as (() => void)[]];
  const sender = new RecordSender(3, (record) => {
    sent.push(record[0] as number);
    return new Promise<void>((resolve) => void answers.push(resolve));
  });
  let isDone = false;
  const delivered = sender.deliver(1, recordsOf(7)).then(() => (isDone = true));
  expect(sent).toEqual([0, 1, 2]);
  for (let answer = 0; answer < 7; answer++) {
    expect(isDone).toBe(false);
    answers[answer]?.();
    await Promise.resolve();
    await Promise.resolve();
  }
  await delivered;
  expect(sent).toEqual([0, 1, 2, 3, 4, 5, 6]);
});

test("after a failure what was not acknowledged is sent again, one at a time", async () => {
  const sent: number[] = [];
  let [isFull, underWay, most] = [true, 0, 0];
  const sender = new RecordSender(4, async (record) => {
    const number = record[0] as number;
    sent.push(number);
    most = Math.max(most, ++underWay);
    await Promise.resolve();
    underWay -= 1;
    if (isFull && number === 2) throw new Error("no room");
  });
  const records = recordsOf(9);
  await expect(sender.deliver(1, records)).rejects.toThrow("no room");
  expect([most, underWay]).toEqual([4, 0]);
  const acknowledged = new Set(sent).difference(new Set([2]));
  [isFull, most] = [false, 0];
  const before = sent.length;
  await sender.deliver(1, records);
  expect(most).toBe(1);
  expect(sent.slice(before)).toEqual([...records.keys()].filter((number) => !acknowledged.has(number)));
  // The next checkpoint's go together again.
  most = 0;
  await sender.deliver(2, records);
  expect(most).toBe(4);
});
