/**
 * Subscribers: each gets a copy of what is pushed. Over the legacy protocol there is one, with the empty name, which the
 * later generation's Consume makes; further ones are made here as the node's other protocols do it.
 */
import { expect, test } from "bun:test";
import { MemoryNode } from "./memory-node.ts";

const storage = (subscriber: string) => `${subscriber}\0q`;

function drain(node: MemoryNode, channel: string): string[] {
  const found: string[] = [];
  for (let record = node.queues.pop(channel); record !== undefined; record = node.queues.pop(channel))
    found.push(Buffer.from(record).toString());
  return found;
}

function push(node: MemoryNode, ...records: string[]): void {
  for (const record of records) expect(node.queues.push("q", Buffer.from(record))).toBe(0);
}

test("the first subscriber inherits what is stored, later ones start empty, and each gets every record", () => {
  using node = new MemoryNode();
  push(node, "old");
  expect(node.queues.subscribe("q", "one")).toBe(true);
  expect(node.queues.subscribe("q", "two")).toBe(true);
  push(node, "new");
  expect(node.queues.pop("q")).toBeUndefined();
  expect(drain(node, storage("one"))).toEqual(["old", "new"]);
  expect(drain(node, storage("two"))).toEqual(["new"]);
  expect(node.queues.subscribe("q", "one")).toBe(true);
  expect(node.queues.channels().map(({ name }) => name)).toEqual(["q", "one@q", "two@q"]);
});

test("a full subscriber does not keep records from the others", () => {
  using node = new MemoryNode({ channelBytes: 64 });
  node.queues.subscribe("q", "slow");
  node.queues.subscribe("q", "fast");
  const record = Buffer.alloc(20);
  expect([node.queues.push("q", record), node.queues.push("q", record)]).toEqual([0, 0]);
  drain(node, storage("fast"));
  expect(node.queues.push("q", record)).toBe(-28);
  expect(drain(node, storage("fast"))).toHaveLength(1);
  expect(drain(node, storage("slow"))).toHaveLength(2);
});

test("Redis clients push to all subscribers, and a removed channel takes them with it", () => {
  using node = new MemoryNode();
  node.queues.subscribe("q", "one");
  node.queues.subscribe("q", "two");
  node.run(["RPUSH", "q", "a", "b"]);
  expect(drain(node, storage("two"))).toEqual(["a", "b"]);
  expect(node.run(["DEL", "q"])).toBe(":1\r\n");
  expect(node.queues.channels()).toEqual([]);
});

test("subscribers come back from effects and from snapshots", () => {
  using node = new MemoryNode({}, true);
  push(node, "old");
  node.queues.subscribe("q", "one");
  node.queues.subscribe("q", "");
  push(node, "new");
  node.queues.pop(storage("one"));
  const effects = node.takeEffects();
  using replayed = new MemoryNode();
  replayed.queues.replay(effects);
  using restored = new MemoryNode();
  for (const slice of node.queues.exportSlices(1)) restored.queues.replay(slice);
  for (const again of [replayed, restored]) {
    expect(again.queues.channels().map(({ name, records }) => [name, records])).toEqual([
      ["q", 0],
      ["one@q", 1],
      ["@q", 1],
    ]);
    push(again, "later");
    expect(drain(again, storage("one"))).toEqual(["new", "later"]);
    expect(drain(again, storage(""))).toEqual(["new", "later"]);
  }
});

test("a subscription while a snapshot is taken brings no record twice, at whichever slice it comes", () => {
  for (let moment = 0; moment < 8; moment++) {
    using node = new MemoryNode({}, true);
    push(node, "old");
    node.queues.push("behind", Buffer.from("other"));
    node.takeEffects();
    using restored = new MemoryNode();
    let taken = 0;
    for (const slice of node.queues.exportSlices(1)) {
      restored.queues.replay(slice);
      if (taken++ !== moment) continue;
      push(node, "between");
      node.queues.subscribe("q", "one");
      push(node, "new");
    }
    restored.queues.replay(node.takeEffects());
    const isDuring = moment < taken;
    expect(drain(restored, "q")).toEqual(isDuring ? [] : ["old"]);
    expect(drain(restored, storage("one"))).toEqual(isDuring ? ["old", "between", "new"] : []);
    expect(drain(restored, "behind")).toEqual(["other"]);
  }
});

test("a subscriber's file is named after both, and loading it makes the subscriber", () => {
  using node = new MemoryNode();
  node.queues.subscribe("q", "one");
  push(node, "a", "b");
  const file = node.queues.save("one@q") as Uint8Array;
  using again = new MemoryNode();
  expect(again.queues.load("one@q", file)).toBe(0);
  push(again, "c");
  expect(drain(again, storage("one"))).toEqual(["a", "b", "c"]);
});
