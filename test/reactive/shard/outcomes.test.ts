/** What a shard remembers of transactions for those who ask again. */
import { expect, test } from "bun:test";
import fc from "fast-check";
import { Outcomes, OUTCOMES_MAX } from "../../../src/reactive/shard/outcomes.ts";
import { KEPT_CLIENT_MIN } from "../../../src/reactive/shard/transaction.ts";
import { ByteReader } from "../../../src/reactive/wire/bytes.ts";

const committed = (client: number, number: number, isFinished = true) => ({
  ...{ id: { client, number }, timestamp: 100 + number, isFinished, participants: [0] },
});

/** What a replica has that begins with these chunks of a snapshot. */
function loaded(chunks: Iterable<Uint8Array>): Outcomes {
  const outcomes = new Outcomes();
  for (const chunk of chunks) outcomes.load(new ByteReader(chunk));
  return outcomes;
}

function copyOf(outcomes: Outcomes): Outcomes {
  const { chunks, close } = outcomes.dump();
  const copy = loaded(chunks);
  close();
  return copy;
}

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
  for (const outcomes of [before, copyOf(before)]) {
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
  const bytes = [...outcomes.dump().chunks].reduce((sum, chunk) => sum + chunk.byteLength, 0);
  expect(bytes).toBeLessThan(50 * OUTCOMES_MAX);
});

test("what is not carried out everywhere is told until it is, whatever its client settles, also from a snapshot", () => {
  const before = new Outcomes();
  for (let number = 1; number <= 5; number++) before.record(committed(1, number, number % 2 === 1), 0);
  before.record(committed(KEPT_CLIENT_MIN, 1, false), 0);
  const numbers = (outcomes: Outcomes) => outcomes.unfinished().map(({ id }) => [id.client, id.number]);
  for (const outcomes of [before, copyOf(before)]) {
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

const client = fc.integer({ min: 0, max: 3600 });
const change = fc.oneof(
  fc.tuple(client, fc.integer({ min: 1, max: 5 }), fc.boolean()).map(
    ([name, number, isFinished]) =>
      (outcomes: Outcomes) =>
        outcomes.record(committed(name, number, isFinished), 9),
  ),
  client.map((name) => (outcomes: Outcomes) => outcomes.finish({ client: name, number: 1 })),
  client.map((name) => (outcomes: Outcomes) => outcomes.settle(name, 1500, 9)),
  fc.nat(8).map((beforeMs) => (outcomes: Outcomes) => outcomes.expire(beforeMs, beforeMs)),
);

test("a snapshot of many clients has short chunks, and shows them as they were when it began, whatever happens meanwhile", () => {
  fc.assert(
    fc.property(fc.array(change, { maxLength: 40 }), fc.nat(6), (changes, calm) => {
      const outcomes = new Outcomes();
      const CLIENTS = 3500;
      for (let client = 0; client < CLIENTS; client++)
        outcomes.record(committed(client, 1, client % 3 !== 0), client % 7);
      for (let number = 2; number < 2000; number++) outcomes.record(committed(5, number), 8);
      const wanted = [...outcomes.dump().chunks].map((chunk) => Buffer.from(chunk).toString("latin1"));
      // The other one is read while these change.
      const source = loaded(wanted.map((chunk) => Buffer.from(chunk, "latin1")));
      const { chunks, close } = source.dump();
      const found: string[] = [];
      const coming = [...changes];
      for (const chunk of chunks) {
        expect(chunk.byteLength).toBeLessThan(200_000);
        found.push(Buffer.from(chunk).toString("latin1"));
        for (let count = 0; count <= calm; count++) coming.shift()?.(source);
      }
      close();
      expect(found).toEqual(wanted);
      expect(found.length).toBeGreaterThan(3);
    }),
    { numRuns: 30 },
  );
});
