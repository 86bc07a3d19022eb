/** Replication from archive to archive: in full, by diffs, by hashes, anew; links that break in the middle of each. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { temporaryDirectory } from "../../cli/helpers.ts";
import {
  at,
  gidsOf,
  Group,
  hasPoint,
  isState,
  isTaken,
  pointsOf,
  replicate,
  settled,
  until,
} from "../group.ts";
import { Repeater } from "../repeater.ts";
import { type Running, TestStorage, VOLUME } from "../servers.ts";

let place: ReturnType<typeof temporaryDirectory>;
beforeAll(() => {
  place = temporaryDirectory();
});
afterAll(() => place.remove());

let count = 0;
const newGroup = () => new Group(join(place.path, `group-${count}`), 1000 * ++count);

const initialised = async (group: Group, name: string, config = {}) => {
  const archive = await group.archive(name, config);
  await archive.controller.command("init-vol", [VOLUME], "ok");
  return archive;
};

/** More points on a0 with the image of each, all explicit; into `images`. */
async function history(
  group: Group,
  a0: Running,
  storage: TestStorage,
  points: number,
  images = new Map<bigint, Buffer>(),
) {
  for (let index = 0; index < points; index++) {
    storage.write(8);
    images.set(await group.point(a0, storage), Buffer.from(storage.image));
  }
  return images;
}

/** a0 with `points` points and the image of each, and an a1 that knows the volume and has nothing of it. */
async function twoArchives(group: Group, points: number, { blocks }: { blocks?: number } = {}) {
  const a0 = await group.archive("a0");
  const storage = await group.copied(a0, blocks);
  const images = await history(group, a0, storage, points);
  return { a0, storage, images, a1: await initialised(group, "a1") };
}

/** A full replication over a slow link that is cut when a part has come. */
async function cutFullReplication(a0: Running, a1: Running, gid: number) {
  using link = new Repeater(a1.port);
  link.rate = 4 << 20;
  const words = [VOLUME, "gid", String(gid), `127.0.0.1:${link.port}`, "0", "0", "none", "1G", "16K"];
  await a0.controller.command("replicate", words, "accept");
  const progress = () => a1.controller.get("progress", VOLUME) as Promise<bigint>;
  await until(async () => (await progress()) > 4000n, "a part has come");
  link.cut();
  await settled(a0, "ReplSyncAsClient");
  await isState(a1, "SyncReady");
}

async function expectSame(group: Group, from: Running, to: Running, images: Map<bigint, Buffer>) {
  expect(await pointsOf(to)).toEqual(await pointsOf(from));
  for (const gid of await gidsOf(to))
    await group.expectImage(to, BigInt(gid), images.get(BigInt(gid)) as Buffer, "a1");
  expect(await to.controller.get("archive-uuid", VOLUME)).toBe(
    await from.controller.get("archive-uuid", VOLUME),
  );
  expect(await to.controller.get("uuid", VOLUME)).toBe(await from.controller.get("uuid", VOLUME));
}

const hashOf = async (archive: Running, gid: bigint) =>
  Buffer.from(await archive.controller.blockHash([VOLUME, String(gid)])).toString("hex");

test("n7: full replication: equal restorable lists and images; n8: diffs follow after more writes", async () => {
  await using group = newGroup();
  const { a0, storage, images, a1 } = await twoArchives(group, 3);
  await replicate(a0, a1.port, 3);
  expect(await a1.controller.get("state", VOLUME)).toBe("Archived");
  expect(await a1.controller.get("base", VOLUME)).toBe(await a0.controller.get("base", VOLUME));
  await expectSame(group, a0, a1, images);
  await history(group, a0, storage, 2, images);
  await replicate(a0, a1.port, 4);
  expect(await gidsOf(a1)).toEqual(["1", "2", "3", "4"]);
  const lag = async () => (await a0.controller.get("ts-delta")) as string[];
  const line =
    /^name:vol1\tdest:a1\tkind:archive\tdest_kind:archive\tgid:5\tts:\S+\tdest_gid:(\d+)\tdest_ts:\S+\tts_delta:\d+$/;
  expect((await lag()).map((each) => line.exec(each)?.[1])).toEqual(["4"]);
  await replicate(a0, a1.port, 5);
  expect((await lag()).map((each) => line.exec(each)?.[1])).toEqual(["5"]);
  await expectSame(group, a0, a1, images);
  // Nothing is left to do: that is no error.
  await replicate(a0, a1.port, 5);
  await a0.controller.command("replicate", [VOLUME, "size", "0", `127.0.0.1:${a1.port}`], "accept");
});

test("n9: hash replication after a0 applied past a1's newest point", async () => {
  await using group = newGroup();
  const { a0, storage, images, a1 } = await twoArchives(group, 2);
  await replicate(a0, a1.port, 2);
  await history(group, a0, storage, 3, images);
  await a0.controller.command("apply", [VOLUME, "4"], "accept");
  await settled(a0, "Apply");
  await replicate(a0, a1.port, 5);
  expect(await a1.controller.get("meta-snap", VOLUME)).toBe("|5|");
  const diffs = (await a1.controller.get("diff", VOLUME)) as string[];
  expect(diffs.find((line) => line.startsWith("|2|-->|4|"))).toMatch(/ MC /);
  for (const gid of [2n, 4n, 5n]) await group.expectImage(a1, gid, images.get(gid) as Buffer, "a1");
  expect(await hashOf(a1, 5n)).toBe(await hashOf(a0, 5n));
});

test("implicit points are merged on their way, explicit ones never; DONTMERGE sends each", async () => {
  await using group = newGroup();
  const a0 = await group.archive("a0");
  const storage = await group.copied(a0);
  const images = new Map<bigint, Buffer>();
  for (const isMergeable of [false, true, true, false, true, false]) {
    storage.write(6);
    images.set(await group.point(a0, storage, isMergeable), Buffer.from(storage.image));
  }
  const a1 = await initialised(group, "a1");
  await replicate(a0, a1.port, 6);
  expect(await gidsOf(a1)).toEqual(await gidsOf(a0));
  expect((await a1.controller.get("restorable", VOLUME, "all")) as string[]).toHaveLength(3);
  await expectSame(group, a0, a1, images);
  const a2 = await initialised(group, "a2");
  await replicate(a0, a2.port, 6, "0", "1");
  expect(await a2.controller.get("restorable", VOLUME, "all")).toEqual(
    await a0.controller.get("restorable", VOLUME, "all"),
  );
});

test("n14: a0 made anew by a full backup: plain replication to a1 fails, resync works", async () => {
  await using group = newGroup();
  const { a0, storage, a1 } = await twoArchives(group, 2);
  await replicate(a0, a1.port, 2);
  await a0.controller.command("stop", [VOLUME], "accept");
  await isState(a0, "Stopped");
  await a0.controller.command("reset-vol", [VOLUME], "ok");
  storage.write(10);
  await storage.fullSync(at(a0.port));
  const images = await history(group, a0, storage, 2);
  await expect(replicate(a0, a1.port, 2)).rejects.toThrow("resync is required but not allowed");
  expect(await gidsOf(a1)).toEqual(["1", "2"]);
  await replicate(a0, a1.port, 2, "1");
  await expectSame(group, a0, a1, images);
});

test("a resync that breaks leaves a volume that waits for a copy, and is repeated", async () => {
  await using group = newGroup();
  const { a0, storage, images, a1 } = await twoArchives(group, 2);
  const other = new TestStorage(group.world(), storage.blocks);
  other.write(30);
  await other.fullSync(at(a1.port));
  expect(await other.shipAsProxy(at(a1.port), other.snapshot())).toBe("accept");
  using link = new Repeater(a1.port);
  link.cutAfter(20_000);
  await replicate(a0, link.port, 2, "1");
  expect(link.cuts).toBe(1);
  await isState(a1, "SyncReady");
  expect(
    readdirSync(join(group.directory, "a1/archive", VOLUME)).filter((name) => /wdiff$/.test(name)),
  ).toEqual([]);
  await replicate(a0, link.port, 2, "1");
  await expectSame(group, a0, a1, images);
});

/**
 * Replicates over a link that is cut after so many bytes, then again over the same link. The target may hear of the cut
 * later than the source, and refuses until it has.
 */
async function overBrokenLink(a0: Running, link: Repeater, gid: number, cutAfterBytes: number) {
  link.cutAfter(cutAfterBytes);
  await replicate(a0, link.port, gid);
  expect(link.cuts).toBe(1);
  await until(() => isTaken(replicate(a0, link.port, gid)), "the target has heard of the cut");
}

test("e14: link cut during full replication: it goes on where it was", async () => {
  await using group = newGroup();
  const { a0, images, a1 } = await twoArchives(group, 2, { blocks: 16_384 });
  await cutFullReplication(a0, a1, 2);
  const status = await a1.controller.status(VOLUME);
  expect(status.find((line) => line.startsWith("fullReplState "))).not.toBe("fullReplState None");
  // Bytes that pass the link tell that the second run does not begin anew; a restart in between does not matter.
  await group.stop("a1");
  await group.archive("a1");
  using second = new Repeater(a1.port);
  await replicate(a0, second.port, 2, "0", "0", "none", "1G", "16K");
  await expectSame(group, a0, a1, images);
  const a2 = await initialised(group, "a2");
  using whole = new Repeater(a2.port);
  await replicate(a0, whole.port, 2, "0", "0", "none", "1G", "16K");
  expect(second.passed).toBeLessThan(whole.passed - 100_000);
});

test("a storage's copy between two tries of a full replication makes it begin anew", async () => {
  await using group = newGroup();
  const { a0, images, a1 } = await twoArchives(group, 1, { blocks: 16_384 });
  await cutFullReplication(a0, a1, 1);
  const other = new TestStorage(group.world(), 16_384);
  other.write(60);
  await expect(other.fullSync(at(a1.port), { stopAtBulk: 20 })).rejects.toThrow("cut by the test");
  await isState(a1, "SyncReady");
  await replicate(a0, a1.port, 1);
  await expectSame(group, a0, a1, images);
});

test("e15: link cut during hash replication, repeated", async () => {
  await using group = newGroup();
  const { a0, storage, images, a1 } = await twoArchives(group, 1);
  await replicate(a0, a1.port, 1);
  await history(group, a0, storage, 3, images);
  await a0.controller.command("apply", [VOLUME, "4"], "accept");
  using link = new Repeater(a1.port);
  await settled(a0, "Apply");
  await overBrokenLink(a0, link, 4, 2_500);
  await group.expectImage(a1, 4n, images.get(4n) as Buffer, "a1");
  await group.expectImage(a1, 1n, images.get(1n) as Buffer, "a1");
});

test("e16: link cut during diff replication, repeated; the link is slow, too", async () => {
  await using group = newGroup();
  const { a0, storage, images, a1 } = await twoArchives(group, 1);
  await replicate(a0, a1.port, 1);
  await history(group, a0, storage, 3, images);
  using link = new Repeater(a1.port);
  link.delayMs = 2;
  link.rate = 8 << 20;
  await overBrokenLink(a0, link, 4, 9_000);
  await expectSame(group, a0, a1, images);
});

test("while an archive replicates it takes diffs, and refuses what would change its history", async () => {
  await using group = newGroup();
  const a0 = await group.archive("a0", { foregroundMax: 4 });
  const storage = await group.copied(a0);
  await history(group, a0, storage, 2);
  const a1 = await initialised(group, "a1");
  using link = new Repeater(a1.port);
  link.rate = 100 << 10;
  await a0.controller.command("replicate", [VOLUME, "gid", "2", `127.0.0.1:${link.port}`], "accept");
  await expect(a0.controller.command("apply", [VOLUME, "2"], "accept")).rejects.toThrow(
    "running actions:vol1:ReplSyncAsClient",
  );
  await a0.controller.command("restore", [VOLUME, "2"], "accept");
  storage.write(5);
  await group.point(a0, storage);
  link.rate = 0;
  await until(async () => (await a1.controller.get("state", VOLUME)) === "Archived", "a1 has the base");
  await hasPoint(a1, 2n);
});

test("a source that cannot reach the target says so at once", async () => {
  await using group = newGroup();
  const a0 = await group.archive("a0");
  const storage = await group.copied(a0);
  await history(group, a0, storage, 1);
  await expect(replicate(a0, 1, 1)).rejects.toThrow();
  expect(await a0.controller.get("num-action", VOLUME, "ReplSyncAsClient")).toBe(0n);
  const a1 = await group.archive("a1");
  await expect(replicate(a0, a1.port, 1)).rejects.toThrow("bad state:Clear");
});
