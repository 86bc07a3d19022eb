/** Loading `.tcm` files: every rule of the format, on files made here and on files that the originals wrote. */
import { afterEach, describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { contentOf, DumpWorld, oldTcmOf, record, tcmOf } from "./harness.ts";

const vectors = join(import.meta.dir, "../../vectors/swarm");
let world = new DumpWorld();
const fresh = () => (world = new DumpWorld());
afterEach(() => world.close());

const first = "0000000000abcdef";
const second = "0000000000000001";

test("loads the example bytes of the format", () => {
  const bytes = Buffer.from(
    "0000000000000000" +
      "1000000000000000" + "30303030303030303030616263646566" + "0300000000000000" + "636363" +
      "1000000000000000" + "30303030303030303030303030303031" + "0100000000000000" + "61" +
      "0000000000000000",
    "hex",
  ); // prettier-ignore
  fresh().put({ "ch.tcm": bytes });
  const { store, loaded } = world.load();
  expect(contentOf(store)).toEqual({ [`ch/${first}`]: "ccc", [`ch/${second}`]: "a" });
  expect(loaded[0]).toMatchObject({ channel: "ch", counts: { records: 2, loaded: 2, loadedBytes: 4 } });
  expect(tcmOf(record(first, "ccc"), record(second, "a")).subarray(0, bytes.length)).toEqual(bytes);
});

test("loads what an original node and an original dhtdump wrote, to the same 20 records", () => {
  const [node, client] = ["small-20.tcm", "small-20.dhtdump.tcm"].map((name) => {
    fresh().put({ "small.tcm": readFileSync(join(vectors, name)) });
    const content = contentOf(world.load().store);
    world.close();
    return content;
  });
  expect(node).toEqual(client as Record<string, string>);
  expect(Object.keys(node ?? {})).toHaveLength(20);
  expect(node?.["small/0000000000000000"]).toBe("user=0000;country=de;segments=1,2,3,0");
  fresh();
});

test("loads a channel without records and ignores what stands behind the end mark", () => {
  fresh().put({
    "empty.tcm": tcmOf(),
    "more.tcm": Buffer.concat([tcmOf(record(first, "x")), Buffer.from("junk")]),
  });
  const { store } = world.load();
  expect(store.channelNames().sort()).toEqual(["empty", "more"]);
  expect(contentOf(store)).toEqual({ [`more/${first}`]: "x" });
});

test("reads keys of either case and keys of eight bytes as the same numbers", () => {
  const number = Buffer.alloc(8);
  number.writeBigUInt64LE(0xabcdefn);
  fresh().put({
    "a.tcm": tcmOf(record("0000000000ABCDEF", "upper")),
    "b.tcm": tcmOf(record(number, "binary")),
  });
  expect(contentOf(world.load().store)).toEqual({ [`a/${first}`]: "upper", [`b/${first}`]: "binary" });
});

describe("the older format with a count in its header", () => {
  const records = [record(first, "x"), record(second, "yy")];

  test("is loaded when the count matches, padding or not", () => {
    fresh().put({
      "a.tcm": oldTcmOf(2, ...records),
      "b.tcm": Buffer.concat([oldTcmOf(2, ...records), Buffer.alloc(300)]),
    });
    expect(world.load().loaded.map(({ counts }) => counts.loaded)).toEqual([2, 2]);
  });

  test.each([
    ["fewer records than counted", oldTcmOf(3, ...records), "2 records of 3 are there"],
    ["more records than counted", oldTcmOf(1, ...records), "the header counts 1 records, but there is more"],
  ])("refuses %s", (_, bytes, message) => {
    fresh().put({ "a.tcm": bytes });
    const error = world.failure();
    expect(error.code).toBe("NX_DATA_CORRUPT");
    expect(error.message).toContain(`/data/a.tcm: ${message}`);
  });
});

test("skips and counts keys that are no hex digits, empty values and values over the limit", () => {
  const bytes = tcmOf(
    record("000000000000000g", "bad"),
    record("short", "bad"),
    record("00000000\u0010\u0011\u0012\u0013\u0014\u0015\u0016\u0017", "control characters"),
    record(first, ""),
    record(second, "x".repeat(2000)),
    record("00000000000000aa", "good"),
    record("00000000000000ab", "y".repeat(1024)),
  );
  fresh().put({ "ch.tcm": bytes });
  const { store, loaded } = world.load({ valueBytesMax: 1024 });
  expect(Object.keys(contentOf(store)).sort()).toEqual(["ch/00000000000000aa", "ch/00000000000000ab"]);
  expect(loaded[0]?.counts).toMatchObject({
    records: 7,
    loaded: 2,
    badKeys: 3,
    emptyValues: 1,
    largeValues: 1,
  });
  expect(world.said("error")[0]).toBe(
    "/data/ch.tcm, record at byte 8: the key is not 16 hex digits and not 8 bytes; skipped",
  );
  expect(world.said("warn").join("\n")).toContain("the value is empty; skipped");
  expect(world.said("warn").join("\n")).toContain("the value is too large; skipped");
});

test("a value that is skipped is not kept in memory, however the file is cut into chunks", () => {
  fresh().put({ "ch.tcm": tcmOf(record(second, Buffer.alloc(3 << 20)), record(first, "behind")) });
  const { store } = world.load();
  expect(contentOf(store)).toEqual({ [`ch/${first}`]: "behind" });
});

describe("records of other nodes", () => {
  // Only bit 0 of a key decides whether its reversed form is in the upper half.
  const lower = { min: 0n, max: 0x7fff_ffff_ffff_ffffn };
  const bytes = tcmOf(record("0000000000000002", "ours"), record("0000000000000001", "foreign"));

  test("are loaded with a warning", () => {
    fresh().put({ "ch.tcm": bytes });
    expect(world.load({ range: lower }).loaded[0]?.counts).toMatchObject({ loaded: 2, outOfRange: 1 });
    expect(world.said("warn")).toEqual([
      "/data/ch.tcm: 1 records (50.00 %) belong to other nodes and were loaded all the same",
    ]);
    expect(world.said("trace")).toHaveLength(1);
  });

  test("stop the start", () => {
    fresh().put({ "ch.tcm": bytes });
    const error = world.failure({ range: lower, outOfRange: "fatal" });
    expect(error.code).toBe("NX_DATA_OUT_OF_RANGE");
    expect(error.message).toBe("/data/ch.tcm: the record at byte 44 belongs to another node");
  });

  test("are skipped with a warning", () => {
    fresh().put({ "ch.tcm": bytes });
    const { store } = world.load({ range: lower, outOfRange: "ignore" });
    expect(contentOf(store)).toEqual({ "ch/0000000000000002": "ours" });
    expect(world.said("warn")).toEqual([
      "/data/ch.tcm: 1 records (50.00 %) belong to other nodes and were skipped",
    ]);
  });

  test.each([
    [3, 4, "stop"],
    [4, 4, "load"],
    [0, 4, "load"],
  ])(
    "with a limit of %p, %p records that are all foreign %p the start",
    (abortAfterAllOutOfRange, count, what) => {
      const foreign = Array.from({ length: count }, (_, index) =>
        record(`000000000000000${2 * index + 1}`, "x"),
      );
      fresh().put({ "ch.tcm": tcmOf(...foreign) });
      const options = { range: lower, abortAfterAllOutOfRange };
      if (what === "load") expect(world.load(options).loaded[0]?.counts.loaded).toBe(count);
      else expect(world.failure(options).code).toBe("NX_DATA_OUT_OF_RANGE");
    },
  );

  test("one own record among the first ones lets all be loaded", () => {
    const mixed = [
      record("0000000000000002", "ours"),
      ...Array.from({ length: 5 }, (_, i) => record(`000000000000000${2 * i + 1}`, "x")),
    ];
    fresh().put({ "ch.tcm": tcmOf(...mixed) });
    expect(world.load({ range: lower, abortAfterAllOutOfRange: 3 }).loaded[0]?.counts.loaded).toBe(6);
  });

  test("the empty range owns nothing", () => {
    fresh().put({ "ch.tcm": bytes });
    const empty = { min: 0xffff_ffff_ffff_ffffn, max: 0n };
    expect(world.load({ range: empty }).loaded[0]?.counts.outOfRange).toBe(2);
  });
});

describe("a file that is not complete", () => {
  const whole = tcmOf(record(first, "x"), record(second, "yy"));
  const bodyBytes = 8 + 33 + 34;

  test("is refused wherever it is cut, with file, offset and what to do", () => {
    for (let cut = 1; cut < bodyBytes + 8; cut++) {
      fresh().put({ "ch.tcm": whole.subarray(0, cut) });
      const error = world.failure();
      expect({ cut, code: error.code }).toEqual({ cut, code: "NX_DATA_CORRUPT" });
      expect(error.message).toStartWith("/data/ch.tcm: ");
      expect(error.hint).toContain("restore it from a backup");
      world.close();
    }
    fresh().put({ "ch.tcm": whole.subarray(0, bodyBytes + 8) });
    expect(world.load().loaded).toHaveLength(1);
  });

  test("names the byte where the incomplete record begins, and the backup beside it", () => {
    fresh().put({ "ch.tcm": whole.subarray(0, bodyBytes - 1), "ch.tcm.backup": whole });
    const error = world.failure();
    expect(error.message).toContain("the end mark is missing after 1 records");
    expect(error.message).toEndWith("at byte 41");
    expect(error.hint).toContain("/data/ch.tcm.backup");
  });

  test.each([
    ["a key", Buffer.concat([whole.subarray(0, 8), Buffer.alloc(8, 0xff)]), "no key can have the length"],
    [
      "a value",
      Buffer.concat([whole.subarray(0, 32), Buffer.alloc(8, 0xff)]),
      "no value can have the length",
    ],
  ])("is refused when the length of %s is impossible", (_, bytes, message) => {
    fresh().put({ "ch.tcm": bytes });
    expect(world.failure().message).toContain(message);
  });
});

test("reports what is no dump and loads none of it", () => {
  const dump = tcmOf(record(first, "x"));
  fresh().put({
    "zero.tcm": "",
    "ch.tcm.dumpingAb3dEf": dump,
    "ch.tcm.Ab3dEf.dumping": dump,
    "ch.tcm.backup": dump,
    "old.tcm.deleted": dump,
    "bad name.tcm": dump,
    "notes.txt": "x",
    "root.log": "x",
    "lonely.nxs": "x",
  });
  world.run(() => world.disk.makeDirectory("/data/sub"));
  world.run(() => world.disk.makeDirectory("/data/dir.tcm"));
  expect(contentOf(world.load().store)).toEqual({});
  expect(world.said("warn").sort()).toEqual([
    "/data/bad name.tcm is no dump and was not loaded",
    "/data/ch.tcm.Ab3dEf.dumping is left of a dump that did not finish and was not loaded; it can be removed",
    "/data/ch.tcm.dumpingAb3dEf is left of a dump that did not finish and was not loaded; it can be removed",
    "/data/dir.tcm is no file and was not loaded",
    "/data/lonely.nxs was not loaded: lonely.tcm is missing, to which it belongs",
    "/data/notes.txt is no dump and was not loaded",
    "/data/sub is no file and was not loaded",
    "/data/zero.tcm is empty and was skipped",
  ]);
});
