/** What is told to a shard behind answers travels together, and each is answered as if it had come alone. */
import { expect, setDefaultTimeout, test } from "bun:test";
import { Gathering } from "../../../src/reactive/engines/builtin/gathering.ts";
import {
  decodeCommand,
  decodeVote,
  encodeCommand,
  encodeOutcome,
  encodeOutcomes,
  type OutcomeCommand,
  UNREADABLE,
} from "../../../src/reactive/shard/commands.ts";
import { ByteWriter, WireError } from "../../../src/reactive/wire/bytes.ts";

setDefaultTimeout(60_000);

const idOf = (number: number) => ({ client: 1, number });
const commits = (count: number): OutcomeCommand[] =>
  Array.from({ length: count }, (_, index) => ({ kind: "commit", id: idOf(index), timestamp: 10 + index }));
const committed = (timestamp: number) => ({ kind: "committed", timestamp }) as const;

/** Answers commits with their timestamps. */
function answering({ knowsSeveral = true } = {}) {
  const counts: number[] = [];
  const command = async (body: Uint8Array) => {
    const told = decodeCommand(body);
    counts.push(told.kind === "several" ? told.commands.length : 1);
    if (told.kind === "commit") return encodeOutcome(committed(told.timestamp));
    if (!knowsSeveral) return UNREADABLE;
    if (told.kind !== "several") throw new Error(`a ${told.kind} was not told`);
    return encodeOutcomes(
      told.commands.map((each) => committed(each.kind === "commit" ? each.timestamp : 0)),
    );
  };
  return { counts, gathering: new Gathering({ command }, queueMicrotask) };
}

test("what comes together is one command, what comes alone is itself", async () => {
  const { counts, gathering } = answering();
  const outcomes = await Promise.all(commits(2500).map((each) => gathering.ask(each)));
  expect(outcomes).toEqual(commits(2500).map((_, index) => committed(10 + index)));
  expect(counts).toEqual([1000, 1000, 500]);
  expect(await gathering.ask(commits(1)[0] as OutcomeCommand)).toEqual(committed(10));
  expect(counts).toHaveLength(4);
});

test("a shard of an earlier version, which cannot read several, is told each by itself", async () => {
  const { counts, gathering } = answering({ knowsSeveral: false });
  const outcomes = await Promise.all(commits(3).map((each) => gathering.ask(each)));
  expect(outcomes).toEqual(commits(3).map((_, index) => committed(10 + index)));
  expect(counts).toEqual([3, 1, 1, 1]);
  expect(() => decodeVote(UNREADABLE)).toThrow("older version than its frontend");
});

test("what fails fails for all of the command", async () => {
  const command = () => Promise.reject(new Error("no answer"));
  const gathering = new Gathering({ command }, queueMicrotask);
  const asked = commits(3).map((each) => gathering.ask(each).catch(String));
  expect(await Promise.all(asked)).toEqual(Array(3).fill("Error: no answer"));
});

test("a shard takes no other commands of several, none in itself, and none that is longer than it says", () => {
  const several = { kind: "several", commands: commits(2) } as const;
  expect(decodeCommand(encodeCommand(several))).toEqual(several);
  const wrap = (body: Uint8Array) => new ByteWriter().u8(9).u32(1).bytes(body).done();
  const finish = encodeCommand({ kind: "finish", id: idOf(1) });
  expect(decodeCommand(wrap(finish))).toMatchObject({ commands: [{ kind: "finish" }] });
  for (const body of [
    encodeCommand(several),
    encodeCommand({ kind: "preload", keys: [] }),
    new Uint8Array(0),
  ])
    expect(() => decodeCommand(wrap(body))).toThrow(WireError);
  expect(() => decodeCommand(wrap(new ByteWriter().raw(finish).u8(0).done()))).toThrow(WireError);
});
