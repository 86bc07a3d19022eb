/** An archive with a storage of ours: full copy, diffs, restore, apply, merge, snapshots, hash comparison, refusals. */
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "bun:test";
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { clean, type MetaDiff, type MetaState, steady } from "../../../src/backup/algebra/snapshot.ts";
import { chainToPoint } from "../../../src/backup/archive/reading.ts";
import type { ArchiveVolume } from "../../../src/backup/archive/volume.ts";
import { NxError } from "../../../src/core/errors.ts";
import { realWorld } from "../../../src/core/seams/world-real.ts";
import { seededRandom } from "../../../src/core/seams/random.ts";
import { temporaryDirectory } from "../../cli/helpers.ts";
import { at, gidsOf, isState, settled } from "../group.ts";
import { Repeater } from "../repeater.ts";
import { startArchive, type Running, TestStorage, VOLUME } from "../servers.ts";
import { imageHash } from "../hash.ts";

const BLOCKS = 4096;
let place: ReturnType<typeof temporaryDirectory>;
beforeAll(() => {
  place = temporaryDirectory();
});
afterAll(() => place.remove());

let count = 0;
let seed = 0;
let directory = "";
beforeEach(() => {
  directory = join(place.path, `archive-${count++}`);
  mkdirSync(directory);
  seed = count;
});

const world = () => ({ ...realWorld(), random: seededRandom(seed++) });
const start = (config: Record<string, unknown> = {}) => startArchive(world(), { dataDir: directory, config });
const address = ({ port }: Running) => at(port);
const volumePath = (name: string) => join(directory, "archive", VOLUME, name);

async function restored(archive: Running, gid: bigint): Promise<Buffer> {
  await archive.controller.command("restore", [VOLUME, String(gid)], "accept");
  await settled(archive, "Restore");
  return readFileSync(volumePath(`wr_${VOLUME}_${gid}`));
}

/** A volume that was copied, with `writes` snapshots behind; the image at each. */
async function prepared(archive: Running, snapshots = 3, mergeable: number[] = []) {
  const storage = new TestStorage(world(), BLOCKS);
  storage.write(40);
  await archive.controller.command("init-vol", [VOLUME], "ok");
  await storage.fullSync(address(archive), { during: () => storage.write(10) });
  const images = new Map<bigint, Buffer>();
  const ship = async (isMergeable = false) => {
    const shipment = storage.snapshot(isMergeable);
    expect(await storage.shipAsProxy(address(archive), shipment)).toBe("accept");
    images.set(shipment.diff.to.begin, Buffer.from(storage.image));
    return shipment.diff.to.begin;
  };
  await ship();
  for (let index = 1; index < snapshots; index++) {
    storage.write(15);
    await ship(mergeable.includes(index));
  }
  return { storage, images, ship };
}

describe("scenarios by the names of the original's tests", () => {
  test("n1, n2: full backup while the volume is written to, snapshots, restore of each", async () => {
    await using archive = await start();
    const { images } = await prepared(archive, 4);
    expect(await archive.controller.get("state", VOLUME)).toBe("Archived");
    expect(await archive.controller.get("base", VOLUME)).toMatch(/^<\|0,1\|>-\d{14}$/);
    for (const [gid, image] of images) {
      expect((await restored(archive, gid)).equals(image)).toBe(true);
      const hash = await archive.controller.blockHash([VOLUME, String(gid), "64K"]);
      expect(Buffer.from(hash).toString("hex")).toBe(imageHash(image, 65536));
    }
    expect(await archive.controller.get("restored", VOLUME)).toEqual(["1", "2", "3", "4"]);
  });

  test("n3: a hash backup brings a volume back whose log was lost", async () => {
    await using archive = await start();
    const { storage, ship, images } = await prepared(archive, 2);
    storage.write(30);
    const snapshot = await storage.hashSync(address(archive));
    expect(snapshot).toEqual({ begin: 3n, end: 4n });
    storage.write(5);
    const gid = await ship();
    expect((await restored(archive, gid)).equals(images.get(gid) as Buffer)).toBe(true);
    expect((await restored(archive, 2n)).equals(images.get(2n) as Buffer)).toBe(true);
  });

  test("n5: apply up to a snapshot leaves the image at that gid as it was, and earlier points are gone", async () => {
    await using archive = await start();
    const { images } = await prepared(archive, 4);
    await archive.controller.command("apply", [VOLUME, "3"], "accept");
    await settled(archive, "Apply");
    expect(await archive.controller.get("base", VOLUME)).toMatch(/^<\|3\|>-/);
    expect(await archive.controller.get("num-diff", VOLUME)).toBe(1n);
    const points = (await archive.controller.get("restorable", VOLUME)) as string[];
    expect(points.map((line) => line.replace(/ .* /, " "))).toEqual(["3 0", "4 1"]);
    for (const gid of [3n, 4n])
      expect((await restored(archive, gid)).equals(images.get(gid) as Buffer)).toBe(true);
  });

  test("n6: merging diffs between two snapshots leaves later images as they were", async () => {
    await using archive = await start();
    const { images } = await prepared(archive, 5, [2, 3]);
    const before = (await archive.controller.get("diff", VOLUME)) as string[];
    await archive.controller.command("merge", [VOLUME, "2", "gid", "5"], "accept");
    await settled(archive, "Merge");
    const after = (await archive.controller.get("diff", VOLUME)) as string[];
    expect([before.length, after.length]).toEqual([5, 3]);
    for (const gid of [1n, 2n, 5n])
      expect((await restored(archive, gid)).equals(images.get(gid) as Buffer)).toBe(true);
    await expect(archive.controller.command("restore", [VOLUME, "3"], "accept")).rejects.toThrow(
      "verifyRestorable:bad gid to restore:vol1:3",
    );
  });

  test("n13: disabled snapshots leave the list and come back", async () => {
    await using archive = await start();
    await prepared(archive, 6);
    const list = () => gidsOf(archive);
    expect(await list()).toEqual(["1", "2", "3", "4", "5", "6"]);
    await archive.controller.command("disable-snapshot", [VOLUME, "2", "3", "4", "5"], "ok");
    expect(await list()).toEqual(["1", "6"]);
    expect(await archive.controller.get("restorable", VOLUME, "all")).toHaveLength(6);
    await archive.controller.command("enable-snapshot", [VOLUME, "2", "3", "4", "5"], "ok");
    expect(await list()).toEqual(["1", "2", "3", "4", "5", "6"]);
    await expect(archive.controller.command("disable-snapshot", [VOLUME, "6"], "ok")).rejects.toThrow(
      "change snapshot failed",
    );
  });

  test("m1: a full backup of an archived volume fails; m2: a hash backup to a fresh archive fails", async () => {
    await using archive = await start();
    const storage = new TestStorage(world(), 512);
    await archive.controller.command("init-vol", [VOLUME], "ok");
    await expect(storage.hashSync(address(archive))).rejects.toThrow("bad state:SyncReady");
    await storage.fullSync(address(archive));
    await expect(storage.fullSync(address(archive))).rejects.toThrow("bad state:Archived");
  });

  test("e12: a link that is cut during a full backup; the repetition works", async () => {
    await using archive = await start();
    const storage = new TestStorage(world(), BLOCKS);
    storage.write(50);
    await archive.controller.command("init-vol", [VOLUME], "ok");
    await expect(storage.fullSync(address(archive), { stopAtBulk: 7 })).rejects.toThrow("cut by the test");
    await isState(archive, "SyncReady");
    await storage.fullSync(address(archive));
    expect(await storage.shipAsProxy(address(archive), storage.snapshot())).toBe("accept");
    expect((await restored(archive, 1n)).equals(storage.image)).toBe(true);
  });

  test("e17: the same diff sent twice is answered too-old-diff", async () => {
    await using archive = await start();
    const { storage } = await prepared(archive, 1);
    storage.write(3);
    const shipment = storage.snapshot();
    expect(await storage.shipAsProxy(address(archive), shipment)).toBe("accept");
    expect(await storage.shipAsProxy(address(archive), shipment)).toBe("too-old-diff");
  });
});

test("diffs that do not fit are refused with the words of the protocol", async () => {
  await using archive = await start();
  const { storage } = await prepared(archive, 2);
  const fitting = storage.snapshot();
  const { from, to } = fitting.diff;
  const answer = (change: Partial<typeof fitting>) =>
    storage.shipAsProxy(address(archive), { ...fitting, ...change });
  expect(await answer({ uuid: new Uint8Array(16) })).toBe("different-uuid");
  expect(await answer({ blocks: BLOCKS + 8 })).toBe("smaller-lv-size");
  const later = {
    ...fitting.diff,
    from: { begin: from.begin + 4n, end: from.end + 4n },
    to: { begin: to.begin + 4n, end: to.end + 4n },
  };
  expect(await answer({ diff: later })).toBe("too-new-diff");
  await archive.controller.command("stop", [VOLUME], "accept");
  await isState(archive, "Stopped");
  expect(await answer({})).toBe("stopped");
  await archive.controller.command("start", [VOLUME], "ok");
  expect(await answer({})).toBe("accept");
});

test("m3: a grown volume is refused until the base is grown", async () => {
  await using archive = await start();
  const { storage } = await prepared(archive, 1);
  storage.image = Buffer.concat([storage.image, Buffer.alloc(512 * 512)]);
  storage.write(20);
  const shipment = storage.snapshot();
  expect(await storage.shipAsProxy(address(archive), shipment)).toBe("smaller-lv-size");
  await archive.controller.command("resize", [VOLUME, String(storage.image.byteLength)], "ok");
  expect(await storage.shipAsProxy(address(archive), shipment)).toBe("accept");
  expect((await restored(archive, 2n)).equals(storage.image)).toBe(true);
});

test("everything is there again after a restart, and temporary files are gone", async () => {
  let images: Map<bigint, Buffer>;
  {
    await using archive = await start();
    ({ images } = await prepared(archive, 3));
  }
  writeFileSync(volumePath("tmpabcdef"), "left by a crash");
  writeFileSync(volumePath(`wr_${VOLUME}_9_tmp`), "left by a crash");
  writeFileSync(volumePath("20260101000000----7-9.wdiff"), "not on the chain");
  await using archive = await start();
  expect(
    readdirSync(join(directory, "archive", VOLUME)).filter((name) => /^tmp|_tmp$|7-9/.test(name)),
  ).toEqual([]);
  expect((await restored(archive, 3n)).equals(images.get(3n) as Buffer)).toBe(true);
});

test("an apply that was interrupted is repeated, and nothing between is restorable", async () => {
  {
    await using archive = await start();
    await prepared(archive, 4);
  }
  // As after a crash between the first write and the last: <|0,1|-->|3|>.
  const { Writer } = await import("../../../src/backup/wire/serial.ts");
  const { writeState } = await import("../../../src/backup/wire/values.ts");
  const state = {
    isApplying: true,
    timestamp: 1_800_000_000,
    from: { begin: 0n, end: 1n },
    to: { begin: 3n, end: 3n },
  };
  rmSync(volumePath("checksums"));
  writeFileSync(volumePath("base"), writeState(new Writer(), state).bytes);
  await using archive = await start();
  const points = () => gidsOf(archive);
  expect(await points()).toEqual(["3", "4"]);
  await archive.controller.command("apply", [VOLUME, "1"], "accept");
  await settled(archive, "Apply");
  expect(await archive.controller.get("base", VOLUME)).toMatch(/^<\|3\|>-/);
  expect(await points()).toEqual(["3", "4"]);
});

test("clear-vol removes images, diffs and metadata; init-vol begins anew", async () => {
  await using archive = await start();
  await prepared(archive, 2);
  await restored(archive, 2n);
  await expect(archive.controller.command("clear-vol", [VOLUME], "ok")).rejects.toThrow("bad state:Archived");
  await archive.controller.command("stop", [VOLUME], "accept");
  await isState(archive, "Stopped");
  await archive.controller.command("clear-vol", [VOLUME], "ok");
  expect(await archive.controller.get("state", VOLUME)).toBe("Clear");
  expect(readdirSync(join(directory, "archive"))).toEqual([]);
  await archive.controller.command("init-vol", [VOLUME], "ok");
  expect(await archive.controller.get("state", VOLUME)).toBe("SyncReady");
});

test("what an interrupted clear-vol left is no part of the history that begins with the next copy", async () => {
  {
    await using archive = await start();
    await prepared(archive, 4);
  }
  // The first step of clear-vol, and a crash.
  rmSync(volumePath("state"));
  await using archive = await start();
  expect(await archive.controller.get("state", VOLUME)).toBe("Clear");
  const { images } = await prepared(archive, 2);
  expect(await gidsOf(archive)).toEqual(["1", "2"]);
  for (const [gid, image] of images) expect((await restored(archive, gid)).equals(image)).toBe(true);
});

test("an archive whose disk is full is not ready, says why, and goes on when there is space", async () => {
  const own = world();
  const { open } = own.disk;
  let isFull = false;
  own.disk.open = async (path, mode) => {
    if (isFull && mode === "exclusive") throw new NxError("NX_DISK_FULL", `no space for ${path}`);
    return await open.call(own.disk, path, mode);
  };
  await using archive = await startArchive(own, { dataDir: directory });
  const { storage, ship } = await prepared(archive, 1);
  expect(archive.role.notReady?.()).toEqual([]);
  isFull = true;
  storage.write(5);
  const shipment = storage.snapshot();
  await expect(storage.shipAsProxy(address(archive), shipment)).rejects.toThrow();
  expect(archive.role.notReady?.()).toEqual([
    expect.stringMatching(/^nothing can be stored of vol1: no space for .*tmp/),
  ]);
  isFull = false;
  expect(await storage.shipAsProxy(address(archive), shipment)).toBe("accept");
  expect(archive.role.notReady?.()).toEqual([]);
  expect(await ship()).toBe(3n);
});

test("a forced stop ends a diff that is coming in, of which nothing is kept", async () => {
  await using archive = await start();
  const { storage } = await prepared(archive, 1);
  storage.write(600);
  using link = new Repeater(archive.port);
  link.rate = 400_000;
  const shipping = storage.shipAsProxy(at(link.port), storage.snapshot()).then(
    () => "shipped",
    () => "cut",
  );
  await isState(archive, "WdiffRecv");
  await archive.controller.command("stop", [VOLUME, "force"], "accept");
  await isState(archive, "Stopped");
  link.cut();
  expect(await shipping).toBe("cut");
  const names = readdirSync(join(directory, "archive", VOLUME));
  expect(names.filter((name) => /wdiff$|^tmp/.test(name))).toHaveLength(1);
});

test("virt-full-scan streams the image at a gid", async () => {
  await using archive = await start();
  const { images } = await prepared(archive, 3);
  const parts: Buffer[] = [];
  await archive.controller.scan(
    [VOLUME, "2", "64K"],
    65536,
    async (bulk) => void parts.push(Buffer.from(bulk)),
  );
  expect(Buffer.concat(parts).equals(images.get(2n) as Buffer)).toBe(true);
});

test("a hash and a scan of a point that is not there are refused: no other point is taken for it", async () => {
  await using archive = await start();
  const { storage } = await prepared(archive, 4, [2]);
  await archive.controller.command("merge", [VOLUME, "2", "gid", "4"], "accept");
  await settled(archive, "Merge");
  expect(await gidsOf(archive)).toEqual(["1", "2", "4"]);
  // Merged away, not come yet, and the base, which is no point because it was copied while it was written to.
  for (const gid of ["3", "5", "0"]) {
    const scan = archive.controller.scan([VOLUME, gid], 262_144, async () => undefined);
    await expect(scan).rejects.toThrow(`vol1 has no point ${gid}`);
    const hash = archive.controller.blockHash([VOLUME, gid]);
    await expect(hash).rejects.toThrow(`vol1 has no point ${gid}`);
  }
  const hash = await archive.controller.blockHash([VOLUME, "4", "64K"]);
  expect(Buffer.from(hash).toString("hex")).toBe(imageHash(storage.image, 65536));
});

test("the diffs to a point lead there, or there is none, as while it is being applied to", () => {
  const diff = (from: number, to: number): MetaDiff => ({
    ...{ isMergeable: true, isComparison: false, timestamp: to, dataBytes: 1 },
    ...{ from: clean(BigInt(from)), to: clean(BigInt(to)) },
  });
  const volume = (base: MetaState, ...all: MetaDiff[]) =>
    ({ name: "v", base, diffs: { all } }) as unknown as ArchiveVolume;
  const ends = (of: ArchiveVolume, gid: number, from?: number) =>
    chainToPoint(of, BigInt(gid), from === undefined ? undefined : clean(BigInt(from))).map(({ to }) =>
      Number(to.begin),
    );
  const base = steady(clean(1n), 1);
  const three = volume(base, diff(1, 2), diff(2, 3), diff(3, 4));
  expect([1, 2, 4].map((gid) => ends(three, gid))).toEqual([[], [2], [2, 3, 4]]);
  expect(ends(three, 4, 3)).toEqual([4]);
  expect(() => ends(three, 5)).toThrow("v has no point 5");
  expect(() => ends(volume(base, diff(1, 3), diff(3, 4)), 2)).toThrow("v has no point 2");
  const applying = volume({ ...base, isApplying: true, to: clean(3n) }, diff(1, 2), diff(2, 3), diff(3, 4));
  expect([3, 4].map((gid) => ends(applying, gid))).toEqual([
    [2, 3],
    [2, 3, 4],
  ]);
  for (const gid of [1, 2]) expect(() => ends(applying, gid)).toThrow(`v has no point ${gid}`);
});

test("a part of an image is hashed and scanned, and a scan sleeps for a share of its time", async () => {
  await using archive = await start();
  const { images } = await prepared(archive, 2);
  const image = images.get(2n) as Buffer;
  const half = image.subarray(0, image.byteLength / 2);
  const hash = await archive.controller.blockHash([VOLUME, "2", "64K", String(half.byteLength)]);
  expect(Buffer.from(hash).toString("hex")).toBe(imageHash(half, 65536));
  const parts: Buffer[] = [];
  const words = [VOLUME, "2", "64K", "1m", "50"];
  await archive.controller.scan(words, 65536, async (bulk) => void parts.push(Buffer.from(bulk)));
  expect(Buffer.concat(parts).equals(half)).toBe(true);
  await expect(
    archive.controller.scan([VOLUME, "2", "64K", "1m", "100"], 65536, async () => {}),
  ).rejects.toThrow("bad percentage:100");
});

test("options of the original: diffs of a hash are limited, an apply sleeps, silent peers are probed", async () => {
  const keepAlive = { idleSeconds: 5, intervalSeconds: 2, probes: 3 };
  await using archive = await start({ openVirtualMax: 2, applySleepPercent: 50, keepAlive });
  const { images } = await prepared(archive, 4);
  await expect(archive.controller.blockHash([VOLUME, "4"])).rejects.toThrow(
    "4 diffs would be opened together",
  );
  await archive.controller.command("apply", [VOLUME, "3"], "accept");
  await settled(archive, "Apply");
  const hash = await archive.controller.blockHash([VOLUME, "4", "64K"]);
  expect(Buffer.from(hash).toString("hex")).toBe(imageHash(images.get(4n) as Buffer, 65536));
  expect(await archive.controller.status()).toContain("keepAlive ON idle 5 intvl 2 cnt 3");
});

test("a restore, a hash and a merge at the same time: the point that is merged away meanwhile is right", async () => {
  await using archive = await start({ foregroundMax: 5 });
  const { images } = await prepared(archive, 8, [1, 2, 3, 4, 5, 6]);
  const hash = archive.controller.blockHash([VOLUME, "5", "64K"]);
  await archive.controller.command("restore", [VOLUME, "4"], "accept");
  await archive.controller.command("merge", [VOLUME, "1", "gid", "8"], "accept");
  await settled(archive, "Merge");
  await settled(archive, "Restore");
  expect(readFileSync(volumePath(`wr_${VOLUME}_4`)).equals(images.get(4n) as Buffer)).toBe(true);
  expect(Buffer.from(await hash).toString("hex")).toBe(imageHash(images.get(5n) as Buffer, 65536));
});

test("what is known of a stopped volume is repaired by hand", async () => {
  await using archive = await start();
  await prepared(archive, 2);
  const uuid = "00112233445566778899aabbccddeeff";
  const repair = (...words: string[]) => archive.controller.command(words[0] as string, words.slice(1), "ok");
  await expect(repair("dbg-set-uuid", VOLUME, uuid)).rejects.toThrow("bad state:Archived");
  await archive.controller.command("stop", [VOLUME], "accept");
  await isState(archive, "Stopped");
  await repair("dbg-set-uuid", VOLUME, uuid);
  await repair("dbg-set-base", VOLUME, "<|0,1|-->|2|>-20261122082206");
  expect(await archive.controller.get("base", VOLUME)).toBe("<|0,1|-->|2|>-20261122082206");
  await expect(repair("dbg-set-uuid", VOLUME, "xyz")).rejects.toThrow("bad uuid:xyz");
  await expect(repair("dbg-set-state", VOLUME, "Happy")).rejects.toThrow("bad state:Happy");
  await repair("dbg-set-state", VOLUME, "Archived");
  expect(await archive.controller.get("state", VOLUME)).toBe("Archived");
  expect(await archive.controller.get("uuid", VOLUME)).toBe(uuid);
});

test.each(["state", "base", "uuid", "archive_uuid", "checksums"])(
  "a flipped bit in %s is found at the start",
  async (name) => {
    {
      await using archive = await start();
      await prepared(archive, 1);
    }
    const bytes = readFileSync(volumePath(name));
    const at = bytes.byteLength - 2;
    bytes[at] = (bytes[at] as number) ^ 4;
    writeFileSync(volumePath(name), bytes);
    await expect(start()).rejects.toThrow("is damaged: it is not what was written");
  },
);

test("a flipped bit in a diff is found before it is used", async () => {
  await using archive = await start();
  await prepared(archive, 3);
  const [name = ""] = readdirSync(join(directory, "archive", VOLUME)).filter((each) =>
    each.endsWith("2-3.wdiff"),
  );
  const bytes = readFileSync(volumePath(name));
  bytes[5000] = (bytes[5000] as number) ^ 1;
  writeFileSync(volumePath(name), bytes);
  await archive.controller.command("restore", [VOLUME, "3"], "accept");
  await settled(archive, "Restore");
  expect(await archive.controller.get("restored", VOLUME)).toEqual([]);
  expect((await restored(archive, 2n)).byteLength).toBe(BLOCKS * 512);
});
