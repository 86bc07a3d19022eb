/** Writing dumps: the bytes, the names, the second file, and what a removed channel leaves. */
import { afterEach, describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { DumpFiles } from "../../../src/channels/tcm/dump-files.ts";
import { decodeEffects, encodeEffect } from "../../../src/channels/effects.ts";
import { blocksOf } from "../../../src/channels/tcm/side-file.ts";
import { temporaryName } from "../../../src/channels/tcm/names.ts";
import { crc32c } from "../../../src/core/crc32c.ts";
import { seededRandom } from "../../../src/core/seams/random.ts";
import type { Store } from "../../../src/native/store.ts";
import { contentOf, DIRECTORY, DumpWorld, fill, record, tcmOf } from "./harness.ts";

const vectors = join(import.meta.dir, "../../vectors/swarm");
let world = new DumpWorld();
const fresh = () => (world = new DumpWorld());
afterEach(() => world.close());

const filesOf = (store: Store, valueBytesMax = 65_536) =>
  new DumpFiles({ world, directory: DIRECTORY, store, valueBytesMax });

function dump(store: Store, channel: string, files = filesOf(store)): void {
  world.run(async () => {
    const written = await files.write(channel);
    if (written !== undefined) await files.commit(written);
  });
}

const key = "0000000000abcdef";
/** One record of each kind that a `.tcm` cannot carry, and one that it can. */
const mixed = {
  [`ch/${key}`]: "plain",
  "ch/a name": "other key",
  "ch/0000000000ABCDEF": "upper case is another key",
  "ch/00000000000000aa": "",
  "ch/00000000000000ab": "expires@1900000000000",
  "ch/00000000000000ac": "x".repeat(1100),
};

test("writes the bytes that the originals write", () => {
  fresh();
  const store = world.store();
  fill(store, { [`ch/${key}`]: "ccc" });
  dump(store, "ch");
  expect(world.get("ch.tcm")).toEqual(tcmOf(record(key, "ccc")));
  expect(world.names()).toEqual(["ch.tcm"]);
});

test("writes the same records as an original node, in a file of the same size", () => {
  fresh();
  const original = readFileSync(join(vectors, "small-20.tcm"));
  world.put({ "small.tcm": original });
  const { store } = world.load();
  dump(store, "small");
  expect(world.get("small.tcm").length).toBe(original.length);
  expect(contentOf(world.load().store)).toEqual(contentOf(store));
});

test("an empty channel is a header and an end mark in one block", () => {
  fresh();
  const store = world.store();
  store.openChannel("ch");
  dump(store, "ch");
  expect(world.get("ch.tcm")).toEqual(Buffer.alloc(512));
});

test.each([464, 463, 465, 976])("pads a file with a value of %p bytes to whole blocks", (length) => {
  fresh();
  const store = world.store();
  fill(store, { [`ch/${key}`]: "v".repeat(length) });
  dump(store, "ch");
  expect(world.get("ch.tcm")).toEqual(tcmOf(record(key, "v".repeat(length))));
});

describe("the second file", () => {
  test("brings back every record that a .tcm cannot carry", () => {
    fresh();
    const store = world.store();
    fill(store, mixed);
    dump(store, "ch", filesOf(store, 1024));
    expect(world.names()).toEqual(["ch.nxs", "ch.tcm"]);
    expect(world.get("ch.tcm")).toEqual(tcmOf(record(key, "plain")));
    const { store: again, loaded } = world.load({ valueBytesMax: 1024 });
    expect(contentOf(again)).toEqual(contentOf(store));
    expect(loaded[0]).toMatchObject({ sideRecords: 5, counts: { loaded: 1 } });
    expect(world.said("warn")).toEqual([]);
  });

  test("goes when nothing needs it any more, and comes back", () => {
    fresh();
    const store = world.store();
    const files = filesOf(store);
    fill(store, { "ch/name": "1" });
    dump(store, "ch", files);
    store.channel("ch")?.remove(Buffer.from("name"), 0);
    dump(store, "ch", files);
    expect(world.names()).toEqual(["ch.nxs.backup", "ch.tcm", "ch.tcm.backup"]);
    expect(contentOf(world.load().store)).toEqual({});
    fill(store, { "ch/name": "2" });
    dump(store, "ch", files);
    expect(contentOf(world.load().store)).toEqual({ "ch/name": "2" });
  });

  test("leaves out records whose time has come, when dumping and when loading", () => {
    fresh();
    const store = world.store();
    const nowMs = world.clock.nowMs();
    fill(store, {
      "ch/past": `x@${nowMs - 1}`,
      "ch/soon": `y@${nowMs + 60_000}`,
      "ch/late": `z@${nowMs + 9e9}`,
    });
    dump(store, "ch");
    expect(Object.keys(contentOf(world.load().store))).toEqual(
      expect.arrayContaining(["ch/soon", "ch/late"]),
    );
    expect(world.load().loaded[0]?.sideRecords).toBe(2);
    world.run(() => new Promise<void>((resolve) => world.clock.after(61_000, resolve)));
    expect(Object.keys(contentOf(world.load().store))).toEqual(["ch/late"]);
  });

  test("any flipped bit is damage with file and offset, never other data", () => {
    fresh();
    const store = world.store();
    fill(store, mixed);
    dump(store, "ch", filesOf(store, 1024));
    const whole = world.get("ch.nxs");
    const wanted = contentOf(store);
    let refused = 0;
    for (let bit = 0; bit < whole.length * 8; bit += 5) {
      const damaged = Buffer.from(whole);
      damaged[bit >> 3] = (damaged[bit >> 3] as number) ^ (1 << (bit & 7));
      world.put({ "ch.nxs": damaged });
      const error = world.failure({ valueBytesMax: 1024 });
      expect({ bit, code: error.code }).toEqual({ bit, code: "NX_DATA_CORRUPT" });
      expect(error.message).toMatch(/^\/data\/ch\.nxs: .* at byte \d+$/);
      refused++;
    }
    expect(refused).toBeGreaterThan(500);
    world.put({ "ch.nxs": whole });
    expect(contentOf(world.load({ valueBytesMax: 1024 }).store)).toEqual(wanted);
  });

  test("is refused wherever it is cut", () => {
    fresh();
    const store = world.store();
    fill(store, { "ch/name": "value" });
    dump(store, "ch");
    const whole = world.get("ch.nxs");
    for (let cut = 0; cut < whole.length; cut++) {
      world.put({ "ch.nxs": whole.subarray(0, cut) });
      expect(world.failure().code).toBe("NX_DATA_CORRUPT");
    }
  });

  test("beside a .tcm that was replaced, adds only what the .tcm does not have, with a warning", () => {
    fresh();
    const store = world.store();
    fill(store, { "ch/name": "side", [`ch/${key}`]: "x@1900000000000" });
    dump(store, "ch");
    world.put({ "ch.tcm": tcmOf(record(key, "from a backup")) });
    const { store: again } = world.load();
    expect(contentOf(again)).toEqual({ "ch/name": "side", [`ch/${key}`]: "from a backup" });
    expect(world.said("warn")[0]).toStartWith("/data/ch.nxs does not belong to the .tcm beside it");
  });

  test("is cut into blocks between records, whatever their sizes", () => {
    const put = (length: number) =>
      encodeEffect({
        operation: "put",
        channel: "ch",
        key: Buffer.from("name"),
        value: new Uint8Array(length),
        expiresAtMs: length % 2 === 0 ? 5 : 0,
      });
    const effects = [10, 300, 7, 7, 7, 1000, 64, 64].map(put);
    const all = Buffer.concat(effects);
    for (const bytesMax of [1, 100, 200, 500, 5000]) {
      const blocks = [...blocksOf(all, bytesMax)];
      expect(Buffer.concat(blocks)).toEqual(all);
      const counts = blocks.map((block) => [...decodeEffects(block)].length);
      expect(counts.reduce((sum, count) => sum + count, 0)).toBe(effects.length);
      for (const [index, block] of blocks.entries())
        expect(block.byteLength <= bytesMax || counts[index] === 1).toBe(true);
    }
    expect([...blocksOf(all, 1)]).toHaveLength(effects.length);
    expect([...blocksOf(all, 5000)]).toHaveLength(1);
  });

  test("a later format version is refused by name", () => {
    fresh();
    const store = world.store();
    fill(store, { "ch/name": "value" });
    dump(store, "ch");
    const bytes = world.get("ch.nxs");
    bytes.writeUInt32LE(2, 8);
    bytes.writeUInt32LE(crc32c(bytes.subarray(0, 60), 0), 60);
    world.put({ "ch.nxs": bytes });
    expect(world.failure().code).toBe("NX_DATA_VERSION");
  });
});

test("keeps the dump before as .backup, both files of it", () => {
  fresh();
  const store = world.store();
  const files = filesOf(store);
  fill(store, { [`ch/${key}`]: "one", "ch/name": "1" });
  dump(store, "ch", files);
  const [tcm, side] = [world.get("ch.tcm"), world.get("ch.nxs")];
  fill(store, { [`ch/${key}`]: "two", "ch/name": "2" });
  dump(store, "ch", files);
  expect(world.names()).toEqual(["ch.nxs", "ch.nxs.backup", "ch.tcm", "ch.tcm.backup"]);
  expect([world.get("ch.tcm.backup"), world.get("ch.nxs.backup")]).toEqual([tcm, side]);
  const restored = { "ch.tcm": tcm, "ch.nxs": side };
  world.put(restored);
  expect(contentOf(world.load().store)).toEqual({ [`ch/${key}`]: "one", "ch/name": "1" });
  expect(world.said("warn")).toEqual([]);
});

test("moves the files of a removed channel aside, over those of an earlier one", () => {
  fresh();
  const store = world.store();
  const files = filesOf(store);
  for (const round of [1, 2]) {
    fill(store, { [`ch/${key}`]: `${round}`, "ch/name": "x" });
    dump(store, "ch", files);
    dump(store, "ch", files);
    world.run(() => files.setAside("ch", "deleted"));
    expect(world.names()).toEqual([
      "ch.nxs.backup.deleted",
      "ch.nxs.deleted",
      "ch.tcm.backup.deleted",
      "ch.tcm.deleted",
    ]);
  }
  expect(world.load().store.channelNames()).toEqual([]);
});

test("a channel that is removed while it is dumped is not dumped, and leaves no file", () => {
  fresh();
  const store = world.store();
  const channel = store.openChannel("ch");
  for (let index = 0; index < 5000; index++)
    channel.put(Buffer.from(index.toString(16).padStart(16, "0")), Buffer.alloc(100));
  const files = filesOf(store);
  const written = world.run(async () => {
    const dumping = files.write("ch");
    await new Promise<void>((resolve) => world.clock.after(0.3, resolve));
    store.removeChannel("ch");
    store.openChannel("ch");
    return await dumping;
  });
  expect(written).toBeUndefined();
  expect(world.names()).toEqual([]);
});

test("every record that is there all the while is in the dump, whatever is written meanwhile", () => {
  fresh();
  const store = world.store();
  const channel = store.openChannel("ch");
  const keyOf = (index: number) => Buffer.from(index.toString(16).padStart(16, "0"));
  for (let index = 0; index < 5000; index++) channel.put(keyOf(index), Buffer.from(`${index}`));
  const files = filesOf(store);
  world.run(async () => {
    const dumping = files.write("ch");
    let isDone = false;
    void dumping.then(() => (isDone = true));
    for (let index = 5000; !isDone; index++) {
      channel.put(keyOf(index), Buffer.alloc(200));
      if (index > 20_000) channel.remove(keyOf(index - 10_000), 0);
      if (index % 50 === 0) await new Promise<void>((resolve) => world.clock.after(0.02, resolve));
    }
    const written = await dumping;
    if (written !== undefined) await files.commit(written);
  });
  const content = contentOf(world.load().store);
  for (let index = 0; index < 5000; index++) expect(content[`ch/${keyOf(index)}`]).toBe(`${index}`);
});

test("the longest channel name has names for all its files", () => {
  fresh();
  const store = world.store();
  const name = "c".repeat(240);
  fill(store, { [`${name}/${key}`]: "x", [`${name}/name`]: "y" });
  const files = filesOf(store);
  dump(store, name, files);
  dump(store, name, files);
  world.run(() => files.setAside(name, "deleted"));
  for (const each of [...world.names(), temporaryName(name, "tcm", seededRandom(1))])
    expect(each.length).toBeLessThanOrEqual(255);
});
