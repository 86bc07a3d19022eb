/**
 * Effects and snapshots of the queues: whatever is done, replaying what was recorded yields the same state, from the
 * beginning or over a snapshot that was taken in pieces while things went on.
 */
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { MalformedEffects } from "../../../src/native/record-store.ts";
import { queueCommand } from "./commands.ts";
import { MemoryNode } from "./memory-node.ts";

const commands = fc.array(queueCommand, { minLength: 1, maxLength: 80, size: "max" });
const settings = fc.record({
  channelBytes: fc.constantFrom(300, 4096),
  dropsOldest: fc.boolean(),
});

test("replaying every effect yields the state", () => {
  fc.assert(
    fc.property(settings, commands, (chosen, all) => {
      using node = new MemoryNode(chosen, true);
      for (const words of all) node.run(words);
      using again = new MemoryNode(chosen);
      again.queues.replay(node.takeEffects());
      expect(again.show()).toBe(node.show());
    }),
    { numRuns: 300 },
  );
});

/** Takes a snapshot in pieces of `sliceBytes` between the commands; returns both, as a log would hold them. */
function snapshotDuring(node: MemoryNode, before: string[][], during: string[][], sliceBytes: number) {
  for (const words of before) node.run(words);
  node.takeEffects();
  const slices = node.queues.exportSlices(sliceBytes);
  const snapshot: Uint8Array[] = [];
  const effects: Uint8Array[] = [];
  let isDone = false;
  const step = () => {
    const { value, done } = slices.next();
    if (value !== undefined) snapshot.push(value);
    isDone = done === true;
  };
  for (const words of during) {
    if (!isDone) step();
    node.run(words);
    effects.push(node.takeEffects());
  }
  while (!isDone) step();
  return { snapshot, effects };
}

test("a snapshot taken meanwhile, and what was recorded since, yield the state", () => {
  fc.assert(
    fc.property(
      settings,
      commands,
      commands,
      fc.constantFrom(1, 200, 5000),
      (chosen, before, during, slice) => {
        using node = new MemoryNode(chosen, true);
        const { snapshot, effects } = snapshotDuring(node, before, during, slice);
        using again = new MemoryNode(chosen);
        for (const bytes of [...snapshot, ...effects]) again.queues.replay(bytes);
        expect(again.show()).toBe(node.show());
        // What comes next is recorded with numbers that a further replay takes for new.
        again.queues.setLogging(true);
        again.run(["RPUSH", "next", "1"]);
        using third = new MemoryNode(chosen);
        for (const bytes of [...snapshot, ...effects, again.takeEffects()]) third.queues.replay(bytes);
        expect(third.show()).toBe(again.show());
      },
    ),
    { numRuns: 300 },
  );
});

test("a stream that goes while it is exported, and another of its name, leave nothing of the first", () => {
  using node = new MemoryNode({}, true);
  const before = [
    ["XADD", "t", "1-0", "f", "v"],
    ["XGROUP", "CREATE", "t", "g", "0"],
    ["RPUSH", "a", "x"],
  ];
  const during = [["PING"], ["DEL", "t"], ["XADD", "t", "2-0", "f", "w"]];
  const { snapshot, effects } = snapshotDuring(node, before, during, 1);
  using again = new MemoryNode();
  for (const bytes of [...snapshot, ...effects]) again.queues.replay(bytes);
  expect(again.show()).toBe(node.show());
});

test("a last id that is set back to that of the last entry left does not confuse the order", () => {
  using node = new MemoryNode({}, true);
  node.run(["XADD", "t", "1-0", "f", "v"], ["XADD", "t", "9-2", "f", "v"], ["XDEL", "t", "9-2"]);
  node.run(["XSETID", "t", "1-0"], ["XADD", "t", "1-1", "f", "w"], ["XADD", "t", "9-2", "f", "x"]);
  expect(node.run(["XRANGE", "t", "1-1", "9-2"])).toStartWith("*2\r\n");
  using again = new MemoryNode();
  again.queues.replay(node.takeEffects());
  expect(again.show()).toBe(node.show());
});

test("smaller rings load what was acknowledged under larger ones", () => {
  using node = new MemoryNode({ channelBytes: 4096 }, true);
  for (let index = 0; index < 30; index++) node.run(["RPUSH", "a", "x".repeat(100)]);
  using again = new MemoryNode({ channelBytes: 300 });
  again.queues.replay(node.takeEffects());
  expect(again.show()).toBe(node.show());
  again.queues.setLogging(true);
  expect(again.run(["RPUSH", "a", "more"])).toStartWith("-OOM");
  expect(again.run(["RPUSH", "new", "y".repeat(400)])).toStartWith("-OOM");
});

describe("malformed effects", () => {
  test("are refused with their offset, whatever byte is wrong", () => {
    using node = new MemoryNode({}, true);
    node.run(
      ["RPUSH", "a", "one", "two"],
      ["XADD", "s", "1-1", "f", "v"],
      ["XGROUP", "CREATE", "s", "g", "0"],
    );
    node.run(["XREADGROUP", "GROUP", "g", "c", "STREAMS", "s", ">"]);
    const effects = node.takeEffects();
    let refused = 0;
    for (let at = 0; at < effects.byteLength; at++) {
      const changed = effects.slice();
      changed[at] = (changed[at] as number) ^ 0x41;
      using again = new MemoryNode();
      try {
        again.queues.replay(changed);
      } catch (error) {
        expect(error).toBeInstanceOf(MalformedEffects);
        refused++;
      }
    }
    // Contents and names may be anything; lengths, operations and ids may not.
    expect(refused).toBeGreaterThan(effects.byteLength / 4);
  });

  test("cut short are refused", () => {
    using node = new MemoryNode({}, true);
    node.run(["RPUSH", "a", "one"]);
    const effects = node.takeEffects();
    for (let length = 1; length < effects.byteLength; length++) {
      using again = new MemoryNode();
      const isWhole = length === 16 + 1 + 1; // the channel's making alone
      if (isWhole) again.queues.replay(effects.slice(0, length));
      else expect(() => again.queues.replay(effects.slice(0, length))).toThrow(MalformedEffects);
    }
  });
});
