/** Whose turn it is, and until when: with commits that end when the test says so, and a clock that it turns. */
import { expect, test } from "bun:test";
import type { CommitResult } from "../../../src/reactive/engines/engine.ts";
import type { Refusal } from "../../../src/reactive/shard/commands.ts";
import { Tables } from "../../../src/reactive/frontend/access/tables.ts";
import { answer } from "../../../src/reactive/frontend/clients/requests.ts";
import { type Place, Turns } from "../../../src/reactive/frontend/clients/turns.ts";
import { encodeOperations, wholePart } from "../../../src/reactive/shard/operations.ts";
import type { Access } from "../../../src/reactive/shard/transaction.ts";
import { GuardedStore } from "../../../src/reactive/frontend/access/guarded-store.ts";
import { LifeClock } from "../client/life.ts";

const LEASE_MS = 2000;
const bytes = (text: string) => new TextEncoder().encode(text);
const operations = encodeOperations([{ kind: "delete" }]);
const idOf = (number: number) => ({ client: 1, number });
const committed = (timestamp: number): CommitResult => ({ kind: "committed", timestamp });
const refused = (reason: Refusal = "stale"): CommitResult => ({ kind: "refused", reason, key: bytes("k") });

/** A change of a key; of one that was read, if a version is given. */
const changeOf = (key: string, version?: number): Access => ({
  key: bytes(key),
  reads: version === undefined ? [] : [{ part: wholePart, version, wasPresent: true }],
  operations,
});

async function settle(): Promise<void> {
  for (let hops = 0; hops < 20; hops++) await Promise.resolve();
}

function start() {
  const clock = new LifeClock();
  const turns = new Turns(clock);
  /** Names of what has happened. */
  const events: string[] = [];
  const ask = (place: Place, line: number, keys: string, number = line) => {
    const read = () => Promise.resolve(events.push(`turn ${line}`));
    void place.read({ line, id: idOf(number), keys: [...keys].map(bytes) }, read);
    return settle();
  };
  const commit = async (place: Place, number: number, result: CommitResult, ...accesses: Access[]) => {
    void place.commit({ id: idOf(number), accesses }, () => {
      events.push(`commit ${number}`);
      return Promise.resolve(result);
    });
    await settle();
  };
  return { clock, turns, events, ask, commit };
}

test("turns are given in the order in which they were asked for, one at a time", async () => {
  const { turns, events, ask, commit } = start();
  const places = [1, 2, 3].map(() => turns.open());
  for (const [index, place] of places.entries()) await ask(place, index + 1, "k");
  expect(events).toEqual(["turn 1"]);
  await commit(places[0] as Place, 1, committed(5), changeOf("k", 4));
  expect(events).toEqual(["turn 1", "commit 1", "turn 2"]);
  (places[1] as Place).leave(2);
  await settle();
  expect(events.slice(3)).toEqual(["turn 3"]);
  (places[2] as Place).close();
  expect(turns.figures).toEqual({ members: 0, given: 3, lapsed: 0 });
});

test("who is refused in its turn comes before all who came later, for more keys too", async () => {
  const { turns, events, ask, commit } = start();
  const [old, young, other] = [turns.open(), turns.open(), turns.open()];
  await ask(old, 1, "k");
  await ask(young, 2, "k");
  await ask(other, 3, "m");
  await commit(old, 1, refused(), changeOf("k", 4));
  await ask(old, 1, "km", 11);
  // It waits for the other one to be done with m; k is nobody's meanwhile, and not the younger one's.
  expect(events).toEqual(["turn 1", "turn 3", "commit 1"]);
  await commit(other, 3, committed(6), changeOf("m", 4));
  expect(events.slice(3)).toEqual(["commit 3", "turn 1"]);
  await commit(old, 11, committed(7), changeOf("k", 6), changeOf("m", 6));
  expect(events.slice(5)).toEqual(["commit 11", "turn 2"]);
});

test("two that want the same keys in another order do not wait for each other", async () => {
  const { turns, events, ask, commit } = start();
  const [one, two] = [turns.open(), turns.open()];
  await ask(one, 1, "km");
  await ask(two, 2, "mk");
  expect(events).toEqual(["turn 1"]);
  await commit(one, 1, committed(5), changeOf("k", 4), changeOf("m", 4));
  expect(events.slice(2)).toEqual(["turn 2"]);
});

test.each(["invalid", "tooOld"] as const)("who is refused as %s does not come again", async (reason) => {
  const { turns, events, ask, commit } = start();
  const [one, two] = [turns.open(), turns.open()];
  await ask(one, 1, "k");
  await ask(two, 2, "k");
  await commit(one, 1, refused(reason), changeOf("k", 4));
  expect(events.at(-1)).toBe("turn 2");
});

test("a turn that nobody uses ends, with all that its client has in line; one whose commit is under way does not", async () => {
  const { clock, turns, events, ask } = start();
  const [frozen, other] = [turns.open(), turns.open()];
  await ask(frozen, 1, "k");
  await ask(frozen, 2, "k");
  await ask(other, 3, "k");
  clock.advance(LEASE_MS - 1);
  expect(turns.figures.members).toBe(3);
  clock.advance(1);
  await settle();
  // The read of the second is answered, and is no turn.
  expect(events).toEqual(["turn 1", "turn 2", "turn 3"]);
  expect(turns.figures).toEqual({ members: 1, given: 2, lapsed: 1 });
  void other.commit({ id: idOf(3), accesses: [changeOf("k", 4)] }, () => new Promise(() => undefined));
  clock.advance(10 * LEASE_MS);
  expect(turns.figures.members).toBe(1);
});

test("a commit that is not in line waits while it could be faster, not when it is stale already or reads nothing", async () => {
  const { clock, turns, events, ask, commit } = start();
  const [holder, next, other] = [turns.open(), turns.open(), turns.open()];
  await ask(holder, 1, "k");
  await ask(next, 2, "k");
  await commit(other, 7, committed(5), changeOf("k"));
  await commit(other, 8, committed(5), changeOf("elsewhere", 1));
  await commit(other, 9, refused(), changeOf("k", 5));
  expect(events.slice(1)).toEqual(["commit 7", "commit 8"]);
  await commit(holder, 1, committed(9), changeOf("k", 5));
  expect(events.slice(3)).toEqual(["commit 1", "commit 9", "turn 2"]);
  await commit(other, 10, refused(), changeOf("k", 8));
  await commit(other, 12, refused(), changeOf("k", 9));
  expect(events.slice(6)).toEqual(["commit 10"]);
  // The next one leaves: nobody is in line any more.
  next.leave(2);
  await settle();
  expect(events.slice(7)).toEqual(["commit 12"]);
  await ask(next, 3, "k");
  await commit(other, 13, refused(), changeOf("k", 9));
  // The holder is late with its commit, which is not this one's fault.
  void next.commit({ id: idOf(3), accesses: [] }, () => new Promise(() => undefined));
  clock.advance(LEASE_MS);
  await settle();
  expect(events.at(-1)).toBe("commit 13");
});

test("a client has no more than a thousand places", async () => {
  const { turns, events, ask } = start();
  const [greedy, other] = [turns.open(), turns.open()];
  for (let line = 1; line <= 1001; line++) await ask(greedy, line, "k");
  expect(events).toEqual(["turn 1", "turn 1001"]);
  await ask(other, 2000, "other");
  expect(turns.figures.members).toBe(1001);
  greedy.close();
  expect(turns.figures.members).toBe(1);
});

test("who may not write a key reads it without waiting for a turn, and is in nobody's way", async () => {
  const versions = [{ start: 1, end: 2, type: 0, value: new Uint8Array(0) }];
  const engine = { known: 9, read: () => Promise.resolve({ timestamp: 9, versions, horizon: 0 }) };
  const tables = new Tables([{ prefix: "k", read: ["*"], write: ["alice"] }]);
  const store = new GuardedStore(engine as never, tables);
  const turns = new Turns(new LifeClock());
  const message = { type: "readInTurn" as const, request: 1, line: 1, id: idOf(1), keys: [bytes("k")] };
  await answer(store, "alice", message, turns.open());
  expect(turns.figures.members).toBe(1);
  expect(await answer(store, "bob", message, turns.open())).toMatchObject({ type: "values", at: 9 });
  expect(turns.figures.members).toBe(1);
});
