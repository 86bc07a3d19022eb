/**
 * Scenarios of whole groups by the names of the original's tests: archives that follow, are lost and are replaced. The
 * controller's library does the steps, a storage of ours writes and ships.
 */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { rmSync } from "node:fs";
import { join } from "node:path";
import { temporaryDirectory } from "../cli/helpers.ts";
import { at, gidsOf, Group, hasPoint, isState, until } from "./group.ts";
import { type Running, type Shipment, TestStorage, VOLUME } from "./servers.ts";

let place: ReturnType<typeof temporaryDirectory>;
beforeAll(() => {
  place = temporaryDirectory();
});
afterAll(() => place.remove());

let count = 0;
const newGroup = () => new Group(join(place.path, `group-${count}`), 5000 * ++count);

/** Ships until a proxy takes it, as a storage does. */
async function ship(storage: TestStorage, proxies: Running[], shipment: Shipment): Promise<void> {
  for (let tries = 0; ; tries++) {
    const proxy = proxies[tries % proxies.length] as Running;
    try {
      return await storage.ship(at(proxy.port), shipment);
    } catch (error) {
      if (tries > 2000) throw error;
      await Bun.sleep(5);
    }
  }
}

/** Writes, cuts and ships; the point and the image there. */
async function snapshot(storage: TestStorage, proxies: Running[], isMergeable = false) {
  storage.write(8);
  const shipment = storage.snapshot(isMergeable);
  const image = Buffer.from(storage.image);
  await ship(storage, proxies, shipment);
  return { gid: shipment.diff.to.begin, image };
}

test("n10: replicate into synchronizing mode with a writer running; a new snapshot appears on both; then stop", async () => {
  await using group = newGroup();
  const [a0, a1, p0, p1] = [
    await group.archive("a0"),
    await group.archive("a1"),
    await group.proxy("p0"),
    await group.proxy("p1"),
  ];
  const storage = await group.backedUp(a0, p0);
  await group.forward(p1, "a0", a0.port);
  const { walbc, server } = group.library(["a0", "a1"], ["p0", "p1"]);
  let isWriting = true;
  const writer = (async () => {
    while (isWriting) {
      await snapshot(storage, [p0, p1], true);
      await Bun.sleep(5);
    }
  })();
  expect(await walbc.is_synchronizing(server("a1"), VOLUME)).toBe(false);
  await walbc.replicate(server("a0"), VOLUME, server("a1"), true);
  expect(await walbc.is_synchronizing(server("a1"), VOLUME)).toBe(true);
  isWriting = false;
  await writer;
  const { gid, image } = await snapshot(storage, [p0, p1]);
  for (const [name, archive] of [
    ["a0", a0],
    ["a1", a1],
  ] as const) {
    await walbc.wait_for_restorable(server(name), VOLUME, gid);
    await group.expectImage(archive, gid, image, name);
  }
  await walbc.stop_synchronizing(server("a1"), VOLUME);
  expect(await walbc.is_synchronizing(server("a1"), VOLUME)).toBe(false);
  const later = await snapshot(storage, [p0, p1]);
  await hasPoint(a0, later.gid);
  expect(await gidsOf(a1)).not.toContain(String(later.gid));
});

test("n11a, n11b: a volume grows everywhere, with and without zeroclear, then a snapshot and a hash backup", async () => {
  await using group = newGroup();
  const [a0, a1, p0] = [await group.archive("a0"), await group.archive("a1"), await group.proxy("p0")];
  const storage = await group.backedUp(a0, p0);
  const { walbc, server } = group.library(["a0", "a1"]);
  await walbc.replicate(server("a0"), VOLUME, server("a1"), true);
  for (const [sizeMb, doZeroClear] of [
    [2, false],
    [3, true],
  ] as const) {
    await walbc.resize(VOLUME, sizeMb, doZeroClear);
    storage.image = Buffer.concat([storage.image, Buffer.alloc((sizeMb << 20) - storage.image.byteLength)]);
    const { gid, image } = await snapshot(storage, [p0]);
    for (const [name, archive] of [
      ["a0", a0],
      ["a1", a1],
    ] as const) {
      await hasPoint(archive, gid);
      await group.expectImage(archive, gid, image, name);
    }
  }
  storage.write(20);
  await storage.hashSync(at(a0.port));
  const { gid, image } = await snapshot(storage, [p0]);
  await hasPoint(a0, gid);
  await group.expectImage(a0, gid, image);
});

test("n12: Target and Standby change places, twice, by hash backups", async () => {
  await using group = newGroup();
  const [a0, p0] = [await group.archive("a0"), await group.proxy("p0")];
  const [s0, s1] = [await group.backedUp(a0, p0), new TestStorage(group.world(), 2048)];
  for (const [from, to] of [
    [s0, s1],
    [s1, s0],
  ] as const) {
    // The other half of a mirror has the same content.
    to.image = Buffer.from(from.image);
    to.write(8);
    await to.hashSync(at(a0.port));
    const { gid, image } = await snapshot(to, [p0]);
    await hasPoint(a0, gid);
    await group.expectImage(a0, gid, image);
  }
});

test("e5: a proxy loses its data: it is registered again, a hash backup brings the rest", async () => {
  await using group = newGroup();
  const [a0, p0] = [await group.archive("a0"), await group.proxy("p0")];
  const storage = await group.backedUp(a0, p0);
  await group.stop("a0");
  await snapshot(storage, [p0]);
  await group.stop("p0");
  rmSync(join(group.directory, "p0"), { recursive: true });
  const archive = await group.archive("a0");
  const again = await group.proxy("p0");
  expect(await again.controller.get("state", VOLUME)).toBe("Clear");
  const { walbc, server } = group.library(["a0"]);
  await walbc.start_synchronizing(server("a0"), VOLUME);
  // What was only in the proxy is gone: the next diff does not fit.
  await snapshot(storage, [again]);
  await storage.hashSync(at(server("a0").port));
  const { gid, image } = await snapshot(storage, [again]);
  await hasPoint(archive, gid);
  await group.expectImage(archive, gid, image);
});

test("e6: the primary archive loses its data: a full backup", async () => {
  await using group = newGroup();
  const [first, p0] = [await group.archive("a0"), await group.proxy("p0")];
  const storage = await group.backedUp(first, p0);
  await group.stop("a0");
  // These wait in the proxy for an archive that will be another one.
  await snapshot(storage, [p0]);
  rmSync(join(group.directory, "a0"), { recursive: true });
  const a0 = await group.archive("a0");
  await a0.controller.command("init-vol", [VOLUME], "ok");
  await storage.fullSync(at(a0.port));
  const { gid, image } = await snapshot(storage, [p0]);
  await hasPoint(a0, gid);
  await group.expectImage(a0, gid, image);
  await until(
    async () => ((await p0.controller.get("proxy-diff", VOLUME, "a0")) as string[]).length === 0,
    "diffs of another history are thrown away",
  );
});

test("e7: a secondary archive loses its data: it is replicated to again", async () => {
  await using group = newGroup();
  const [a0, p0] = [await group.archive("a0"), await group.proxy("p0")];
  await group.archive("a1");
  const storage = await group.backedUp(a0, p0);
  const { walbc, server } = group.library(["a0", "a1"]);
  await walbc.replicate(server("a0"), VOLUME, server("a1"), true);
  await group.stop("a1");
  rmSync(join(group.directory, "a1"), { recursive: true });
  await snapshot(storage, [p0]);
  const a1 = await group.archive("a1");
  await walbc.stop_synchronizing(server("a1"), VOLUME);
  await walbc.replicate(server("a0"), VOLUME, server("a1"), true);
  const { gid, image } = await snapshot(storage, [p0]);
  await hasPoint(a1, gid);
  await group.expectImage(a1, gid, image, "a1");
  expect(await gidsOf(a1)).toEqual(await gidsOf(a0));
});

test("r1: a storage is replaced: its copy goes on with a hash backup, and no point is lost", async () => {
  await using group = newGroup();
  const [a0, p0] = [await group.archive("a0"), await group.proxy("p0")];
  const s0 = await group.backedUp(a0, p0);
  const before = await snapshot(s0, [p0]);
  await hasPoint(a0, before.gid);
  const s1 = new TestStorage(group.world(), 2048);
  s1.image = Buffer.from(s0.image);
  const { begin } = await s1.hashSync(at(a0.port));
  expect(begin).toBe(before.gid + 1n);
  const after = await snapshot(s1, [p0]);
  await hasPoint(a0, after.gid);
  for (const { gid, image } of [before, after]) await group.expectImage(a0, gid, image);
  // The old one is of another history now.
  await ship(s0, [p0], s0.snapshot());
  await until(
    async () => ((await p0.controller.get("proxy-diff", VOLUME, "a0")) as string[]).length === 0,
    "its diff is thrown away",
  );
  expect(await gidsOf(a0)).toContain(String(after.gid));
});

test("r3: the primary archive is replaced without loss", async () => {
  await using group = newGroup();
  const [a0, a1, p0] = [await group.archive("a0"), await group.archive("a1"), await group.proxy("p0")];
  const storage = await group.backedUp(a0, p0);
  const before = await snapshot(storage, [p0]);
  await hasPoint(a0, before.gid);
  const { walbc, server } = group.library(["a0", "a1"]);
  await walbc.replicate(server("a0"), VOLUME, server("a1"), true);
  const primary = server("a1");
  walbc.set_server_layout(walbc.get_server_layout().replace({ archiveL: [primary] }));
  await walbc.stop_synchronizing(server("a0"), VOLUME);
  await walbc.clear(server("a0"), VOLUME);
  expect(await a0.controller.get("state", VOLUME)).toBe("Clear");
  await group.stop("a0");
  const after = await snapshot(storage, [p0]);
  await hasPoint(a1, after.gid);
  storage.write(10);
  // The new primary archive serves the storage's own copies, too.
  await storage.hashSync(at(a1.port));
  const compared = await snapshot(storage, [p0]);
  await hasPoint(a1, compared.gid);
  for (const { gid, image } of [before, after, compared]) await group.expectImage(a1, gid, image, "a1");
});

test("r4: a secondary archive is replaced without loss", async () => {
  await using group = newGroup();
  const [a0, a2, p0] = [await group.archive("a0"), await group.archive("a2"), await group.proxy("p0")];
  await group.archive("a1");
  const storage = await group.backedUp(a0, p0);
  const { walbc, server } = group.library(["a0", "a1", "a2"]);
  await walbc.replicate(server("a0"), VOLUME, server("a1"), true);
  const before = await snapshot(storage, [p0]);
  await walbc.wait_for_restorable(server("a1"), VOLUME, before.gid);
  // From the old secondary, so that the primary archive is not burdened.
  await walbc.replicate(server("a1"), VOLUME, server("a2"), true);
  await walbc.stop_synchronizing(server("a1"), VOLUME);
  await walbc.clear(server("a1"), VOLUME);
  await group.stop("a1");
  const after = await snapshot(storage, [p0]);
  for (const { gid, image } of [before, after]) {
    await hasPoint(a2, gid);
    await group.expectImage(a2, gid, image, "a2");
  }
  expect(await gidsOf(a2)).toEqual(await gidsOf(a0));
  await isState(p0, "Started");
});
