/** A whole group: a storage of ours, proxies, archives, links that delay and break. */
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "bun:test";
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { seededRandom } from "../../../src/core/seams/random.ts";
import { realWorld } from "../../../src/core/seams/world-real.ts";
import { temporaryDirectory } from "../../cli/helpers.ts";
import { at, forwardingTo, hasPoint, settled, until } from "../group.ts";
import { Repeater } from "../repeater.ts";
import { type Running, startArchive, startProxy, TestStorage, VOLUME } from "../servers.ts";

const BLOCKS = 2048;
let place: ReturnType<typeof temporaryDirectory>;
beforeAll(() => {
  place = temporaryDirectory();
});
afterAll(() => place.remove());

let seed = 100;
let directory = "";
beforeEach(() => {
  directory = join(place.path, `group-${seed}`);
  mkdirSync(directory);
});

const world = () => ({ ...realWorld(), random: seededRandom(seed++) });
const startA = (name = "a0") => startArchive(world(), { dataDir: join(directory, name), instance: name });
const startP = (name = "p0", config = {}) =>
  startProxy(world(), { dataDir: join(directory, name), instance: name, config });

async function expectImage(archive: Running, gid: bigint, image: Buffer, name = "a0"): Promise<void> {
  await archive.controller.command("restore", [VOLUME, String(gid)], "accept");
  await settled(archive, "Restore");
  const restored = readFileSync(join(directory, name, "archive", VOLUME, `wr_${VOLUME}_${gid}`));
  expect(restored.equals(image)).toBe(true);
}

/** A group after a full backup: what the storage ships goes through the proxy. */
async function prepared(archive: Running, proxy: Running, archivePort = archive.port) {
  const storage = new TestStorage(world(), BLOCKS);
  storage.write(20);
  await archive.controller.command("init-vol", [VOLUME], "ok");
  await proxy.controller.changeForwarding("add", VOLUME, "a0", forwardingTo(archivePort));
  await proxy.controller.command("start", [VOLUME], "ok");
  await storage.fullSync(at(archive.port), { during: () => storage.write(5) });
  await storage.ship(at(proxy.port), storage.snapshot());
  await hasPoint(archive, 1n);
  return storage;
}

const bound = ({ controller }: Running) => ({
  command: controller.command.bind(controller),
  changeForwarding: controller.changeForwarding.bind(controller),
});

const queueOf = (proxy: Running, name = "a0") =>
  proxy.controller.get("proxy-diff", VOLUME, name) as Promise<string[]>;

test("a volume is receiving from the moment at which its state was looked at, so a stop waits for the log", async () => {
  const own = world();
  const space = own.disk.space.bind(own.disk);
  const asked = Promise.withResolvers<void>();
  const gate = Promise.withResolvers<void>();
  own.disk.space = async (path) => {
    asked.resolve();
    await gate.promise;
    return await space(path);
  };
  await using proxy = await startProxy(own, { dataDir: join(directory, "p0"), instance: "p0" });
  await proxy.controller.changeForwarding("add", VOLUME, "a0", forwardingTo(1));
  await proxy.controller.command("start", [VOLUME], "ok");
  const storage = new TestStorage(own, BLOCKS);
  storage.write(5);
  const shipping = storage.ship(at(proxy.port), storage.snapshot());
  await asked.promise;
  expect(await proxy.controller.get("state", VOLUME)).toBe("WlogRecv");
  await proxy.controller.command("stop", [VOLUME], "accept");
  gate.resolve();
  await shipping;
  await until(async () => (await proxy.controller.get("state", VOLUME)) === "Stopped", "stopped");
  expect(await queueOf(proxy)).toHaveLength(1);
});

describe("scenarios by the names of the original's tests", () => {
  test("n1, n2: what is written reaches the archive through the proxy, every snapshot restorable", async () => {
    await using archive = await startA();
    await using proxy = await startP();
    const storage = await prepared(archive, proxy);
    for (let gid = 2n; gid <= 5n; gid++) {
      storage.write(10);
      await storage.ship(at(proxy.port), storage.snapshot());
      await hasPoint(archive, gid);
      await expectImage(archive, gid, storage.image);
    }
    await until(async () => (await queueOf(proxy)).length === 0, "an empty queue");
    expect(readdirSync(join(directory, "p0/proxy", VOLUME, "received"))).toEqual([]);
    expect(readdirSync(join(directory, "p0/proxy", VOLUME, "sendto/a0"))).toEqual([]);
  });

  test("n10, e7: a second archive gets the same diffs; one that is down only makes its own queue longer", async () => {
    await using a0 = await startA();
    const a1 = await startA("a1");
    await using proxy = await startP();
    const storage = await prepared(a0, proxy);
    await proxy.controller.command("stop", [VOLUME, "empty"], "accept");
    await until(async () => (await proxy.controller.get("state", VOLUME)) === "Stopped", "stopped");
    await proxy.controller.changeForwarding("add", VOLUME, "a1", forwardingTo(a1.port));
    await proxy.controller.command("start", [VOLUME], "ok");
    await a1[Symbol.asyncDispose]();
    storage.write(10);
    await storage.ship(at(proxy.port), storage.snapshot());
    await hasPoint(a0, 2n);
    await until(async () => (await queueOf(proxy)).length === 0, "an empty queue for a0");
    expect(await queueOf(proxy, "a1")).toHaveLength(1);
    expect(await proxy.controller.archiveNames(VOLUME)).toEqual(["a0", "a1"]);
  });

  test("e2: an archive that was down gets what waited, merged where that is allowed", async () => {
    const archive = await startA();
    await using proxy = await startP();
    const storage = await prepared(archive, proxy);
    await archive[Symbol.asyncDispose]();
    for (const isMergeable of [true, true, false, true, false]) {
      storage.write(8);
      await storage.ship(at(proxy.port), storage.snapshot(isMergeable));
    }
    expect(await queueOf(proxy)).toHaveLength(5);
    await using again = await startArchive(world(), {
      dataDir: join(directory, "a0"),
      config: { port: archive.port },
    });
    await hasPoint(again, 6n);
    await expectImage(again, 6n, storage.image);
    // The unmergeable points 1, 4 and 6 stay; 2, 3 and 5 were merged away on the way.
    const points = ((await again.controller.get("restorable", VOLUME, "all")) as string[]).map(
      (line) => line.split(" ")[0],
    );
    expect(points).toEqual(["1", "4", "6"]);
  });

  test("e11: the link between proxy and archive is slow and breaks in the middle of a diff", async () => {
    await using archive = await startA();
    await using proxy = await startP();
    using link = new Repeater(archive.port);
    link.delayMs = 2;
    const storage = await prepared(archive, proxy, link.port);
    link.cutAfter(3000);
    storage.write(60);
    await storage.ship(at(proxy.port), storage.snapshot());
    await hasPoint(archive, 2n);
    expect(link.cuts).toBeGreaterThan(0);
    await expectImage(archive, 2n, storage.image);
  });

  test("e9: the link between storage and proxy breaks; the storage sends again and nothing is there twice", async () => {
    await using archive = await startA();
    await using proxy = await startP();
    using link = new Repeater(proxy.port);
    const storage = await prepared(archive, proxy);
    storage.write(60);
    const shipment = storage.snapshot();
    link.cutAfter(2000);
    await expect(storage.ship(at(link.port), shipment)).rejects.toThrow();
    await until(async () => (await proxy.controller.get("state", VOLUME)) === "Started", "ready again");
    await storage.ship(at(link.port), shipment);
    // As after a lost acknowledgement: the archive answers too-old-diff, the proxy throws it away.
    await storage.ship(at(link.port), shipment);
    await hasPoint(archive, 2n);
    await until(async () => (await queueOf(proxy)).length === 0, "an empty queue");
    await expectImage(archive, 2n, storage.image);
  });

  test("r2: a proxy is replaced without loss: it is emptied, then another takes over", async () => {
    await using archive = await startA();
    const first = await startP();
    const storage = await prepared(archive, first);
    storage.write(5);
    await storage.ship(at(first.port), storage.snapshot());
    await first.controller.command("stop", [VOLUME, "empty"], "accept");
    await until(async () => (await first.controller.get("state", VOLUME)) === "Stopped", "stopped");
    storage.write(5);
    const shipment = storage.snapshot();
    await expect(storage.ship(at(first.port), shipment)).rejects.toThrow("bad state:Stopped");
    await first[Symbol.asyncDispose]();
    await using second = await startP("p1");
    await second.controller.changeForwarding("add", VOLUME, "a0", forwardingTo(archive.port));
    await second.controller.command("start", [VOLUME], "ok");
    await storage.ship(at(second.port), shipment);
    await hasPoint(archive, 3n);
    await expectImage(archive, 3n, storage.image);
  });
});

test("diffs are compressed by threads where the archive wants that", async () => {
  await using archive = await startA();
  await using proxy = await startP();
  const storage = await prepared(archive, proxy);
  await proxy.controller.command("stop", [VOLUME, "empty"], "accept");
  await until(async () => (await proxy.controller.get("state", VOLUME)) === "Stopped", "stopped");
  const compression = { id: 3, level: 1, threads: 2 };
  await proxy.controller.changeForwarding("update", VOLUME, "a0", {
    ...forwardingTo(archive.port),
    compression,
  });
  await proxy.controller.command("start", [VOLUME], "ok");
  storage.write(60);
  await storage.ship(at(proxy.port), storage.snapshot());
  await hasPoint(archive, 2n);
  await expectImage(archive, 2n, storage.image);
});

test("a proxy that is killed between receiving and sending sends after its restart", async () => {
  const archive = await startA();
  const proxy = await startP();
  const storage = await prepared(archive, proxy);
  await archive[Symbol.asyncDispose]();
  storage.write(10);
  await storage.ship(at(proxy.port), storage.snapshot());
  await proxy[Symbol.asyncDispose]();
  await using again = await startArchive(world(), {
    dataDir: join(directory, "a0"),
    config: { port: archive.port },
  });
  await using _proxy = await startP();
  await hasPoint(again, 2n);
  await expectImage(again, 2n, storage.image);
});

test("a diff whose queue file is damaged is not sent, and who asks is told why nothing is", async () => {
  const archive = await startA();
  await using proxy = await startP();
  const storage = await prepared(archive, proxy);
  await archive[Symbol.asyncDispose]();
  storage.write(30);
  await storage.ship(at(proxy.port), storage.snapshot());
  const queue = join(directory, "p0/proxy", VOLUME, "sendto/a0");
  const [name = ""] = readdirSync(queue).filter((each) => each.endsWith(".wdiff"));
  const bytes = readFileSync(join(queue, name));
  // In the last record of the index: what data it covers does not matter.
  const place = bytes.byteLength - 30;
  bytes[place] = (bytes[place] as number) ^ 1;
  writeFileSync(join(queue, name), bytes);
  await using again = await startArchive(world(), {
    dataDir: join(directory, "a0"),
    config: { port: archive.port },
  });
  await proxy.controller.command("kick", [], "ok");
  await until(async () => proxy.role.notReady?.().length === 1, "a reason");
  expect(proxy.role.notReady?.()).toEqual([
    expect.stringMatching(/^vol1 is not sent to a0 until it is kicked: .*damaged.*clear-vol.*hash-bkp/),
  ]);
  expect(await proxy.controller.get("is-wdiff-send-error", VOLUME, "a0")).toBe(1n);
  expect((await again.controller.get("meta-snap", VOLUME)) as string).toBe("|1|");
  expect(await queueOf(proxy)).toHaveLength(1);
});

test("a stop that waits for empty queues gives way to one that does not, and to the end of the process", async () => {
  using link = new Repeater(1);
  link.isCut = true;
  const proxy = await startP();
  const { command, changeForwarding } = bound(proxy);
  await changeForwarding("add", VOLUME, "a0", forwardingTo(link.port));
  await command("start", [VOLUME], "ok");
  const storage = new TestStorage(world(), BLOCKS);
  storage.write(5);
  await storage.ship(at(proxy.port), storage.snapshot());
  const isIn = (state: string) => async () => (await proxy.controller.get("state", VOLUME)) === state;
  await command("stop", [VOLUME, "empty"], "accept");
  await until(isIn("WaitForEmpty"), "it waits");
  await expect(command("stop", [VOLUME, "empty"], "accept")).rejects.toThrow("stopping");
  await command("stop", [VOLUME, "graceful"], "accept");
  await until(isIn("Stopped"), "it has stopped");
  await command("start", [VOLUME], "ok");
  await command("stop", [VOLUME, "empty"], "accept");
  await until(isIn("WaitForEmpty"), "it waits again");
  await proxy[Symbol.asyncDispose]();
});

test("a forced stop cuts a log that is being received", async () => {
  await using proxy = await startP();
  const { command, changeForwarding } = bound(proxy);
  await changeForwarding("add", VOLUME, "a0", forwardingTo(1));
  await command("start", [VOLUME], "ok");
  using link = new Repeater(proxy.port);
  link.rate = 1000;
  const storage = new TestStorage(world(), BLOCKS);
  storage.write(50);
  const shipping = storage.ship(at(link.port), storage.snapshot()).then(
    () => "shipped",
    () => "cut",
  );
  await until(async () => (await proxy.controller.get("state", VOLUME)) === "WlogRecv", "a log comes");
  await command("stop", [VOLUME, "force"], "accept");
  await until(async () => (await proxy.controller.get("state", VOLUME)) === "Stopped", "it has stopped");
  expect(await shipping).toBe("cut");
});

test("a clock that is set by an hour gives no archive up", async () => {
  await using archive = await startA();
  const own = world();
  let aheadMs = 0;
  const clock = { ...own.clock, nowMs: () => own.clock.nowMs() + aheadMs };
  await using proxy = await startProxy(
    { ...own, clock },
    { dataDir: join(directory, "p0"), config: { giveUpSeconds: 60 } },
  );
  using link = new Repeater(archive.port);
  const storage = await prepared(archive, proxy, link.port);
  await archive.controller.command("stop", [VOLUME], "accept");
  await until(async () => (await archive.controller.get("state", VOLUME)) === "Stopped", "stopped");
  storage.write(5);
  await storage.ship(at(proxy.port), storage.snapshot());
  aheadMs = 3_600_000;
  const passed = link.passed;
  await until(async () => link.passed > passed + 1000, "some refusals");
  expect(await proxy.controller.get("is-wdiff-send-error", VOLUME, "a0")).toBe(0n);
  await archive.controller.command("start", [VOLUME], "ok");
  await hasPoint(archive, 2n);
});

test("a smaller base stops the sending until it is kicked", async () => {
  await using archive = await startA();
  await using proxy = await startP();
  const storage = await prepared(archive, proxy);
  storage.image = Buffer.concat([storage.image, Buffer.alloc(512 * 512)]);
  storage.write(10);
  await storage.ship(at(proxy.port), storage.snapshot());
  await until(
    async () => (await proxy.controller.get("is-wdiff-send-error", VOLUME, "a0")) === 1n,
    "a send error",
  );
  await archive.controller.command("resize", [VOLUME, String(storage.image.byteLength)], "ok");
  await proxy.controller.command("kick", [VOLUME], "ok");
  await hasPoint(archive, 2n);
  await expectImage(archive, 2n, storage.image);
});

test("a log that does not fit onto the disk is refused, so that the storage takes the next proxy", async () => {
  await using archive = await startA();
  const full = world();
  const disk = Object.assign(full.disk, {
    space: async () => ({ freeBytes: 1 << 20, totalBytes: 1 << 30 }),
  });
  await using proxy = await startProxy({ ...full, disk }, { dataDir: join(directory, "p0") });
  const storage = new TestStorage(world(), BLOCKS);
  await archive.controller.command("init-vol", [VOLUME], "ok");
  await proxy.controller.changeForwarding("add", VOLUME, "a0", forwardingTo(archive.port));
  await proxy.controller.command("start", [VOLUME], "ok");
  await storage.fullSync(at(archive.port));
  storage.write(5);
  await expect(storage.ship(at(proxy.port), storage.snapshot())).rejects.toThrow("not enough free space");
});

test("damage on the way of a log is found, and nothing of it is kept", async () => {
  await using archive = await startA();
  await using proxy = await startP();
  const storage = await prepared(archive, proxy);
  storage.write(10);
  const shipment = storage.snapshot();
  const [pack = new Uint8Array(0)] = shipment.packs;
  pack[pack.byteLength - 10] = (pack.at(-10) as number) ^ 1;
  await expect(storage.ship(at(proxy.port), shipment)).rejects.toThrow();
  pack[pack.byteLength - 10] = (pack.at(-10) as number) ^ 1;
  await storage.ship(at(proxy.port), shipment);
  await hasPoint(archive, 2n);
  await expectImage(archive, 2n, storage.image);
});
