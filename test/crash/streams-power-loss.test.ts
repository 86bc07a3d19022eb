/** See streams-harness.ts for what is explored and what is checked. */
import { expect, setDefaultTimeout, test } from "bun:test";
import { explore, record, type Step } from "./streams-harness.ts";

setDefaultTimeout(120_000);

const change = (key: string): Step => ({ do: "change", key });

/** Commits, an abort, keys that go and come again, a snapshot with a checkpoint prepared behind it. */
const tour: readonly Step[] = [
  change("a"),
  change("b"),
  { do: "prepare" },
  { do: "commit" },
  change("a"),
  { do: "prepare" },
  { do: "commit" },
  { do: "remove", key: "b" },
  change("c"),
  { do: "prepare" },
  { do: "abort" },
  change("b"),
  { do: "prepare" },
  { do: "compact" },
  { do: "commit" },
  { do: "remove", key: "a" },
  change("a"),
  { do: "prepare" },
];

test("a worker can go to every checkpoint that the cluster may decide for, after power loss at every moment", () => {
  const found = explore(record(tour), 20);
  console.log(`${found.points} moments, ${found.states} states of the disk`);
  expect(found.violations).toEqual([]);
  expect(found.states).toBeGreaterThan(500);
});

test("negative control: a checkpoint that is announced before it is on disk is noticed", () => {
  const found = explore(record(tour, { isPrepared: () => Promise.resolve() }), 4);
  expect(found.violations.length).toBeGreaterThan(0);
});
