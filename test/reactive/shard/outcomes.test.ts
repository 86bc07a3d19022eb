/** What a shard remembers of transactions for those who ask again. */
import { expect, test } from "bun:test";
import { Outcomes, OUTCOMES_MAX } from "../../../src/reactive/shard/outcomes.ts";
import { KEPT_CLIENT_MIN } from "../../../src/reactive/shard/transaction.ts";
import { ByteReader, ByteWriter } from "../../../src/reactive/wire/bytes.ts";

const committed = (client: number, number: number, isFinished = true) => ({
  ...{ id: { client, number }, timestamp: 100 + number, isFinished, participants: [0] },
});

test("an outcome is known until its client has settled it; what is not carried out everywhere stays", () => {
  const outcomes = new Outcomes();
  outcomes.record(committed(1, 1), 0);
  outcomes.record(committed(1, 2, false), 0);
  outcomes.settle(1, 3, 1);
  expect(outcomes.get({ client: 1, number: 1 })).toBe("forgotten");
  expect(outcomes.get({ client: 1, number: 2 })).toMatchObject({ timestamp: 102 });
  outcomes.finish({ client: 1, number: 2 });
  expect(outcomes.get({ client: 1, number: 2 })).toBe("forgotten");
  expect(outcomes.get({ client: 1, number: 3 })).toBeUndefined();
});

test("who was silent for long is forgotten; one who keeps a log may come back after days, also from a snapshot", () => {
  const days = 86_400_000;
  const before = new Outcomes();
  const [passing, kept] = [KEPT_CLIENT_MIN - 1, KEPT_CLIENT_MIN];
  for (const client of [kept, passing, 7]) before.record(committed(client, 1), 0);
  before.record(committed(7, 2), 900_000);
  const writer = new ByteWriter();
  before.write(writer);
  for (const outcomes of [before, Outcomes.read(new ByteReader(writer.done()))]) {
    outcomes.expire(600_000, 600_000 - 30 * days);
    expect(outcomes.get({ client: passing, number: 1 })).toBeUndefined();
    expect(outcomes.get({ client: 7, number: 1 })).toMatchObject({ timestamp: 101 });
    expect(outcomes.get({ client: kept, number: 1 })).toMatchObject({ timestamp: 101 });
    outcomes.expire(31 * days, 1 * days);
    expect(outcomes.get({ client: kept, number: 1 })).toBeUndefined();
  }
});

test("of a client that settles nothing the last ones are known, and those before are not executed again", () => {
  const outcomes = new Outcomes();
  const count = 2 * OUTCOMES_MAX;
  for (let number = 1; number <= count; number++) outcomes.record(committed(1, number, number !== 2), 0);
  const of = (number: number) => outcomes.get({ client: 1, number });
  expect([of(1), of(OUTCOMES_MAX - 1500)]).toEqual(["forgotten", "forgotten"]);
  expect([of(2), of(count - OUTCOMES_MAX + 2), of(count)]).toMatchObject(
    [2, count - OUTCOMES_MAX + 2, count].map((number) => ({ timestamp: 100 + number })),
  );
  expect(of(count + 1)).toBeUndefined();
  const writer = new ByteWriter();
  outcomes.write(writer);
  expect(writer.length).toBeLessThan(50 * OUTCOMES_MAX);
});

test("what is not carried out everywhere is told until it is, whatever its client settles, also from a snapshot", () => {
  const before = new Outcomes();
  for (let number = 1; number <= 5; number++) before.record(committed(1, number, number % 2 === 1), 0);
  before.record(committed(KEPT_CLIENT_MIN, 1, false), 0);
  const writer = new ByteWriter();
  before.write(writer);
  const numbers = (outcomes: Outcomes) => outcomes.unfinished().map(({ id }) => [id.client, id.number]);
  for (const outcomes of [before, Outcomes.read(new ByteReader(writer.done()))]) {
    expect(numbers(outcomes)).toEqual([[1, 2], [1, 4], [KEPT_CLIENT_MIN, 1]]); // prettier-ignore
    outcomes.settle(1, 6, 1);
    outcomes.finish({ client: 1, number: 2 });
    // Carried out again: the first finished it.
    outcomes.finish({ client: 1, number: 2 });
    outcomes.record(committed(1, 4), 1);
    expect(numbers(outcomes)).toEqual([[1, 4], [KEPT_CLIENT_MIN, 1]]); // prettier-ignore
    outcomes.finish({ client: 1, number: 4 });
    outcomes.finish({ client: KEPT_CLIENT_MIN, number: 1 });
    expect(numbers(outcomes)).toEqual([]);
  }
});
