/**
 * The acceptance scenarios of the original's own tests, with our storages, proxies and archives. Their names are those of
 * its list: n how it goes when nothing breaks, m what must be refused, e what breaks, r what is replaced.
 *
 * Everything runs in this process, over real sockets and files; a step is followed by a comparison of the image that the
 * archive has of a point with what the volume held there.
 */
import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { cpSync, rmSync } from "node:fs";
import { join } from "node:path";
import { seededRandom } from "../../../src/core/seams/random.ts";
import { isTaken } from "../group.ts";
import { Repeater } from "../repeater.ts";
import { VOLUME } from "../servers.ts";
import { runScenario1 } from "./scenario1.ts";
import { Group, type GroupOptions, type Node, until, Writer } from "./cluster.ts";
import { allStops, runStops, someStops } from "./stops.ts";

setDefaultTimeout(120_000);

class World implements AsyncDisposable {
  readonly group: Group;
  readonly writer: Writer;

  constructor(group: Group) {
    this.group = group;
    this.writer = new Writer(1, () => group.client());
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.writer.end();
    await this.group[Symbol.asyncDispose]();
  }
}

/** A group whose volume has some content and a full backup. */
async function backedUp(options: GroupOptions = {}): Promise<World> {
  const world = new World(await Group.start(options));
  await world.group.initStorage();
  await world.writer.write(40);
  await world.group.backup("full-bkp");
  return world;
}

const stop = (node: Node, mode = "graceful") => node.controller.command("stop", [VOLUME, mode], "accept");
const MIB = 1 << 20;

describe("n: how it goes when nothing breaks", () => {
  test("n1: init, write, full backup, restore, compare", async () => {
    await using world = await backedUp();
    const { group } = world;
    const gid = await group.compareSnapshot();
    await group.archive.controller.command("restore", [VOLUME, String(gid)], "accept");
    await until("it is restored", async () => {
      const restored = (await group.archive.controller.get("restored", VOLUME)) as string[];
      return restored.includes(String(gid));
    });
  });

  test("n2: write, snapshot, restore, compare", async () => {
    await using world = await backedUp();
    for (let round = 0; round < 3; round++) {
      await world.writer.write(30);
      await world.group.compareSnapshot();
    }
    expect((await world.group.restorable()).length).toBeGreaterThanOrEqual(3);
  });

  test("n3: go standby, write, hash backup, restore, compare", async () => {
    await using world = await backedUp();
    const { group, writer } = world;
    const { controller } = group.storage;
    await group.compareSnapshot();
    await stop(group.storage);
    await group.untilState(group.storage, "Stopped");
    await controller.command("reset-vol", [VOLUME], "ok");
    await controller.command("start", [VOLUME, "standby"], "ok");
    await writer.write(50);
    expect(await controller.get("is-overflow", VOLUME)).toBe(0n);
    await stop(group.storage);
    await group.untilState(group.storage, "SyncReady");
    await group.backup("hash-bkp");
    await group.compareSnapshot();
  });

  test("n4b: with a writer, some servers are stopped and started in five orders by chance", async () => {
    const { rounds, writes } = await runStops(someStops(5, seededRandom(4)), 4);
    expect(rounds).toBe(5);
    expect(writes).toBeGreaterThan(40);
  });

  test("n4a has all 51 orders of stopping and starting one, two or three of them", () => {
    expect(new Set(allStops.map((stops) => JSON.stringify(stops))).size).toBe(51);
  });

  test("n5: apply up to a snapshot; the image there is unchanged", async () => {
    await using world = await backedUp();
    const { group, writer } = world;
    const { controller } = group.archive;
    await group.compareSnapshot();
    await writer.write(30);
    const gid = await group.compareSnapshot();
    const image = await group.image();
    await writer.write(30);
    await group.compareSnapshot();
    await controller.command("apply", [VOLUME, String(gid)], "accept");
    await until("it is applied", async () => (await group.restorable())[0] === gid);
    const [got, wanted] = await group.hashes(gid, image);
    expect(got).toBe(wanted);
  });

  test("n6: merge diffs between two snapshots; the later image is unchanged", async () => {
    await using world = await backedUp();
    const { group, writer } = world;
    const { controller } = group.archive;
    const gids: bigint[] = [];
    for (let round = 0; round < 4; round++) {
      await writer.write(15);
      gids.push(await group.compareSnapshot());
    }
    const image = await group.image();
    const [first, , , last] = gids as [bigint, bigint, bigint, bigint];
    await controller.command("disable-snapshot", [VOLUME, ...gids.slice(1, 3).map(String)], "ok");
    await controller.command("merge", [VOLUME, String(first), "gid", String(last)], "accept");
    await until(
      "they are merged",
      async () =>
        (await controller.get(
          "exists-diff",
          VOLUME,
          String(first),
          String(first),
          String(last),
          String(last),
        )) === 1n,
    );
    const [got, wanted] = await group.hashes(last, image);
    expect(got).toBe(wanted);
  });

  test("n11a and n11b: resize everywhere with and without zeroclear, compare, hash backup, compare", async () => {
    await using world = await backedUp();
    const { group, writer } = world;
    for (const [index, words] of [[], ["zeroclear"]].entries()) {
      const size = String((5 + index) * MIB);
      await group.archive.controller.command("resize", [VOLUME, size, ...words], "ok");
      await group.storage.controller.command("resize", [VOLUME, size], "ok");
      await writer.write(40);
      const gid = await group.compareSnapshot();
      expect((await group.image()).byteLength).toBe(Number(size));
      await group.hashBackupAnew();
      expect(await group.compareSnapshot()).toBeGreaterThan(gid);
    }
  });

  test("n12: Target and Standby change places twice, with hash backups", async () => {
    await using world = await backedUp({ storages: 2 });
    const { group, writer } = world;
    const [s0, s1] = group.storages as [Node, Node];
    await s1.controller.command("init-vol", [VOLUME, VOLUME], "ok");
    await s1.controller.command("start", [VOLUME, "standby"], "ok");
    const mirror = async () => {
      await using from = await group.client(s0);
      await using to = await group.client(s1);
      await to.writeAll(await from.readAll());
    };
    for (const [target, standby] of [
      [s1, s0],
      [s0, s1],
    ] as [Node, Node][]) {
      await writer.write(20);
      await mirror();
      await stop(standby, "force");
      await group.untilState(standby, "Stopped");
      await standby.controller.command("reset-vol", [VOLUME], "ok");
      await standby.controller.command("start", [VOLUME, "standby"], "ok");
      await stop(target);
      await group.untilState(target, "SyncReady");
      await group.backup("hash-bkp", target);
      await group.compareSnapshot(target);
    }
  });

  test("n13: five snapshots, four disabled, enabled again", async () => {
    await using world = await backedUp();
    const { group, writer } = world;
    const gids: bigint[] = [];
    for (let round = 0; round < 5; round++) {
      await writer.write(3);
      gids.push(await group.storage.controller.snapshot(VOLUME));
    }
    await writer.write(3);
    await group.compareSnapshot();
    const before = await group.restorable();
    expect(before).toEqual(expect.arrayContaining(gids));
    const four = gids.slice(0, 4).map(String);
    await group.archive.controller.command("disable-snapshot", [VOLUME, ...four], "ok");
    expect(await group.restorable()).toEqual(before.filter((gid) => !four.includes(String(gid))));
    await group.archive.controller.command("enable-snapshot", [VOLUME, ...four], "ok");
    expect(await group.restorable()).toEqual(before);
  });
});

/** Two archives; the second has the volume by replication. */
const second = (group: Group) => group.archives[1] as Node;

async function replicate(
  group: Group,
  gid: bigint,
  { options = [], port = second(group).port }: { options?: string[]; port?: number } = {},
): Promise<void> {
  const address = `127.0.0.1:${port}`;
  await group.archive.controller.command(
    "replicate",
    [VOLUME, "gid", String(gid), address, ...options],
    "accept",
  );
  await until(
    "it is replicated",
    async () => (await group.archive.controller.get("num-action", VOLUME, "ReplSyncAsClient")) === 0n,
  );
}

async function demandSame(group: Group, gid: bigint): Promise<void> {
  await group.untilRestorable(gid, second(group));
  const [one, two] = await Promise.all(
    [group.archive, second(group)].map((archive) =>
      archive.controller.blockHash([VOLUME, String(gid), "64K"]),
    ),
  );
  expect(Buffer.from(one as Uint8Array).toString("hex")).toBe(Buffer.from(two as Uint8Array).toString("hex"));
}

describe("n: replication", () => {
  test("n7, n8 and n9: in full, by diffs, by hashes when the first has applied past the second's newest", async () => {
    await using world = await backedUp({ archives: 2 });
    const { group, writer } = world;
    const first = await group.compareSnapshot();
    await replicate(group, first);
    await demandSame(group, first);
    await writer.write(20);
    const next = await group.compareSnapshot();
    await replicate(group, next);
    await demandSame(group, next);
    expect(await group.restorable(second(group))).toEqual(expect.arrayContaining([first, next]));
    await writer.write(20);
    const applied = await group.compareSnapshot();
    await writer.write(20);
    const last = await group.compareSnapshot();
    await group.archive.controller.command("apply", [VOLUME, String(applied)], "accept");
    const applying = () => group.archive.controller.get("num-action", VOLUME, "Apply");
    await until(
      "it is applied",
      async () => (await group.restorable())[0] === applied && (await applying()) === 0n,
    );
    await replicate(group, last);
    await demandSame(group, last);
  });

  test("n10: the second archive is synchronized while a writer writes", async () => {
    await using world = await backedUp({ archives: 2 });
    const { group, writer } = world;
    const { controller } = group.proxy;
    writer.begin();
    await replicate(
      group,
      await group.storage.controller
        .snapshot(VOLUME)
        .then(async (gid) => (await group.untilRestorable(gid), gid)),
    );
    await stop(group.proxy, "empty");
    await until("the proxy has stopped", async () => (await group.state(group.proxy)) === "Stopped");
    const forwarding = await controller.forwarding(VOLUME, "a0");
    const archive = { host: "127.0.0.1", port: second(group).port };
    await controller.changeForwarding("add", VOLUME, "a1", { ...forwarding, archive });
    const newest = (await group.restorable()).at(-1) as bigint;
    await replicate(group, newest);
    await controller.command("start", [VOLUME], "ok");
    await writer.end();
    await group.compareSnapshot(group.storage, [group.archive, second(group)]);
    await stop(group.proxy, "empty");
    await until("the proxy has stopped", async () => (await group.state(group.proxy)) === "Stopped");
    await controller.changeForwarding("delete", VOLUME, "a1");
    await controller.command("start", [VOLUME], "ok");
    const gid = await group.compareSnapshot();
    expect(await group.restorable(second(group))).not.toContain(gid);
  });

  test("n14: an archive that began anew is not replicated to the old one, unless resync is asked for", async () => {
    await using world = await backedUp({ archives: 2 });
    const { group, writer } = world;
    await replicate(group, await group.compareSnapshot());
    await stop(group.archive);
    await until("the archive has stopped", async () => (await group.state(group.archive)) === "Stopped");
    await group.archive.controller.command("reset-vol", [VOLUME], "ok");
    await stop(group.storage, "force");
    await group.untilState(group.storage, "Stopped");
    await group.storage.controller.command("reset-vol", [VOLUME], "ok");
    await group.backup("full-bkp");
    await writer.write(10);
    const gid = await group.compareSnapshot();
    await expect(replicate(group, gid)).rejects.toThrow("resync is required");
    await replicate(group, gid, { options: ["1"] });
    await demandSame(group, gid);
  });

  test("e7 and r4: the second archive is lost, and replaced by another one", async () => {
    await using world = await backedUp({ archives: 2 });
    const { group, writer } = world;
    await replicate(group, await group.compareSnapshot());
    await second(group).stop();
    rmSync(join(group.directory, "a1"), { recursive: true });
    await writer.write(20);
    await second(group).start();
    await second(group).controller.command("init-vol", [VOLUME], "ok");
    const gid = await group.compareSnapshot();
    await replicate(group, gid);
    await demandSame(group, gid);
  });
});

describe("e: a replication that breaks", () => {
  /** What the second archive has before, so that the replication is of that kind. */
  const prepare = {
    full: async () => undefined,
    hash: async ({ group, writer }: World) => {
      await replicate(group, await group.compareSnapshot());
      await writer.write(40);
      const gid = await group.compareSnapshot();
      await group.archive.controller.command("apply", [VOLUME, String(gid)], "accept");
      await until("it is applied", async () => (await group.restorable())[0] === gid);
      const applying = () => group.archive.controller.get("num-action", VOLUME, "Apply");
      await until("the apply has ended", async () => (await applying()) === 0n);
    },
    diff: async ({ group }: World) => replicate(group, await group.compareSnapshot()),
  };

  test.each([
    ["e14", "full"],
    ["e15", "hash"],
    ["e16", "diff"],
  ] as const)("%s: the link is cut during a replication in %s; it is repeated", async (_name, kind) => {
    await using world = await backedUp({ archives: 2 });
    const { group, writer } = world;
    await prepare[kind](world);
    await writer.write(40);
    const gid = await group.compareSnapshot();
    using repeater = new Repeater(second(group).port);
    repeater.cutAfter(4096);
    await replicate(group, gid, { port: repeater.port });
    expect(repeater.cuts).toBe(1);
    expect(await group.restorable(second(group)).catch(() => [])).not.toContain(gid);
    // The target may hear of the cut later than the source, and refuses until it has.
    await until("the target has heard of the cut", () =>
      isTaken(replicate(group, gid, { port: repeater.port })),
    );
    await demandSame(group, gid);
  });
});

describe("m: what must be refused", () => {
  test("m1: a full backup of a volume that the archive has already fails", async () => {
    await using world = await backedUp();
    const { group } = world;
    await stop(group.storage);
    await group.untilState(group.storage, "Stopped");
    await group.storage.controller.command("reset-vol", [VOLUME], "ok");
    const again = group.storage.controller.command("full-bkp", [VOLUME], "accept");
    await expect(again).rejects.toThrow("bad state:Archived");
    expect(await group.state(group.storage)).toBe("SyncReady");
  });

  test("m2: a hash backup to an archive that has nothing fails", async () => {
    await using group = await Group.start();
    await group.initStorage();
    await expect(group.storage.controller.command("hash-bkp", [VOLUME], "accept")).rejects.toThrow(
      "bad state:SyncReady",
    );
    expect(await group.state(group.storage)).toBe("SyncReady");
  });

  test("m3: only the storage grows: sending is given up; the archive grows, a kick mends it", async () => {
    await using world = await backedUp();
    const { group, writer } = world;
    const size = String(5 * MIB);
    await group.storage.controller.command("resize", [VOLUME, size], "ok");
    await writer.write(10);
    const gaveUp = async () => (await group.proxy.controller.get("is-wdiff-send-error", VOLUME, "a0")) === 1n;
    await until("the proxy gives up", gaveUp);
    await group.archive.controller.command("resize", [VOLUME, size], "ok");
    await group.proxy.controller.command("kick", [VOLUME], "ok");
    await group.compareSnapshot();
    expect(await gaveUp()).toBe(false);
  });
});

describe("e: what breaks", () => {
  test("e1: a proxy is away, more is written than the log holds: the second takes over, nothing overflows", async () => {
    await using world = await backedUp({ proxies: 2, logBytes: 2 * MIB });
    const { group, writer } = world;
    // What the first has taken must be at the archive: nothing later can be applied before it.
    await group.compareSnapshot();
    await group.proxy.stop();
    for (let round = 0; round < 12; round++) {
      await writer.write(40);
      await until("the log is shipped", async () => {
        const [line = ""] = (await group.storage.controller.get("log-usage", VOLUME)) as string[];
        return /usage_pb:0\t/.test(line);
      });
    }
    const { role } = group.storage;
    const [figures] = (
      role.stats() as unknown as { volumes: { writtenBytes: number; isOverflow: boolean }[] }
    ).volumes as [{ writtenBytes: number; isOverflow: boolean }];
    expect(figures.writtenBytes).toBeGreaterThan(2 * MIB);
    expect(figures.isOverflow).toBe(false);
    expect(await group.storage.controller.get("is-overflow", VOLUME)).toBe(0n);
    await group.compareSnapshot();
    await group.proxy.start();
  });

  test("e2: the archive is away for some time", async () => {
    await using world = await backedUp();
    const { group, writer } = world;
    await group.archive.stop();
    await writer.write(60);
    await group.archive.start();
    await group.compareSnapshot();
  });

  test("e3: the storage is away for some time", async () => {
    await using world = await backedUp();
    const { group, writer } = world;
    writer.begin();
    await Bun.sleep(50);
    await group.storage.stop();
    await Bun.sleep(20);
    await group.storage.start();
    await Bun.sleep(50);
    await writer.end();
    expect(await group.state(group.storage)).toBe("Target");
    await group.compareSnapshot();
  });

  test("e4: nobody takes the log until it overflows: it is told, and a hash backup mends it", async () => {
    await using world = await backedUp({ logBytes: 1 * MIB });
    const { group, writer } = world;
    const { controller } = group.storage;
    await group.compareSnapshot();
    await group.proxy.stop();
    await writer.write(120);
    await group.untilState(group.storage, "Stopped");
    expect(await controller.get("is-overflow", VOLUME)).toBe(1n);
    expect(group.storage.role.notReady()).toEqual([expect.stringContaining("has overflowed")]);
    await expect(controller.command("start", [VOLUME, "target"], "ok")).rejects.toThrow("overflow");
    await expect(controller.snapshot(VOLUME)).rejects.toThrow("the log has overflowed");
    // The volume itself goes on, and the next start of the storage still knows.
    await writer.write(20);
    await group.storage.stop();
    await group.storage.start();
    expect(await group.storage.controller.get("is-overflow", VOLUME)).toBe(1n);
    await group.proxy.start();
    await group.hashBackupAnew();
    await group.compareSnapshot();
  });

  test("e5: a proxy has lost everything: registered anew, with a hash backup", async () => {
    await using world = await backedUp();
    const { group, writer } = world;
    const { proxy } = group;
    await proxy.stop();
    rmSync(join(group.directory, "p0"), { recursive: true });
    await writer.write(20);
    await proxy.start();
    await group.registerArchive(proxy, 0);
    await group.hashBackupAnew();
    await group.compareSnapshot();
  });

  test("e6: the archive has lost everything: a full backup", async () => {
    await using world = await backedUp();
    const { group, writer } = world;
    await group.archive.stop();
    rmSync(join(group.directory, "a0"), { recursive: true });
    await writer.write(20);
    await group.archive.start();
    await group.archive.controller.command("init-vol", [VOLUME], "ok");
    await stop(group.storage, "force");
    await group.untilState(group.storage, "Stopped");
    await group.storage.controller.command("reset-vol", [VOLUME], "ok");
    await group.backup("full-bkp");
    await group.proxy.controller.command("kick", [VOLUME], "ok");
    await group.compareSnapshot();
  });

  test("e8: the storage has lost what it knew of the backup: init and a hash backup", async () => {
    await using world = await backedUp();
    const { group, writer } = world;
    await group.compareSnapshot();
    await group.storage.stop();
    rmSync(join(group.directory, "s0/storage"), { recursive: true });
    await group.storage.start();
    await writer.write(20);
    await group.initStorage();
    await group.backup("hash-bkp");
    await group.compareSnapshot();
  });

  test("e9: the network between storage and proxy is cut, and mended", async () => {
    let repeater: Repeater | undefined;
    const proxyPorts = (group: Group) => [(repeater ??= new Repeater(group.proxy.port)).port];
    await using world = await backedUp({ proxyPorts });
    const { group, writer } = world;
    const network = repeater as unknown as Repeater;
    network.isCut = true;
    network.cut();
    await writer.write(40);
    network.isCut = false;
    await group.compareSnapshot();
    network[Symbol.dispose]();
  });

  test("e10: the network between storage and proxy is cut until the log overflows", async () => {
    let repeater: Repeater | undefined;
    const proxyPorts = (group: Group) => [(repeater ??= new Repeater(group.proxy.port)).port];
    await using world = await backedUp({ proxyPorts, logBytes: 1 * MIB });
    const { group, writer } = world;
    const network = repeater as unknown as Repeater;
    network.isCut = true;
    network.cut();
    await writer.write(120);
    await group.untilState(group.storage, "Stopped");
    network.isCut = false;
    await group.hashBackupAnew();
    await group.compareSnapshot();
    network[Symbol.dispose]();
  });

  test("e11: the network between proxy and archive is cut, and mended", async () => {
    await using world = await backedUp();
    const { group, writer } = world;
    using repeater = new Repeater(group.archive.port);
    await stop(group.proxy, "empty");
    await until("the proxy has stopped", async () => (await group.state(group.proxy)) === "Stopped");
    const forwarding = await group.proxy.controller.forwarding(VOLUME, "a0");
    const archive = { host: "127.0.0.1", port: repeater.port };
    await group.proxy.controller.changeForwarding("update", VOLUME, "a0", { ...forwarding, archive });
    await group.proxy.controller.command("start", [VOLUME], "ok");
    repeater.isCut = true;
    repeater.cut();
    await writer.write(40);
    repeater.isCut = false;
    await group.compareSnapshot();
    expect(repeater.passed).toBeGreaterThan(0);
  });

  test("e17: a log is sent twice, as its acknowledgement was not noted: the second diff is too old", async () => {
    let repeater: Repeater | undefined;
    const proxyPorts = (group: Group) => [(repeater ??= new Repeater(group.proxy.port)).port];
    await using world = await backedUp({ proxyPorts });
    const { group, writer } = world;
    const network = repeater as unknown as Repeater;
    const isNoted = async () => {
      const [line = ""] = (await group.storage.controller.get("log-usage", VOLUME)) as string[];
      return /usage_pb:0\t/.test(line);
    };
    await group.compareSnapshot();
    const [notes, before] = [join(group.directory, "s0/storage", VOLUME), join(group.directory, "before")];
    let gid = 0n;
    // Notes of an earlier moment must not know less than the points that were given out: those of a try in which the
    // storage cut one more, by itself, are of no use.
    while ((await group.restorable()).at(-1) !== gid) {
      network.isCut = true;
      network.cut();
      await writer.write(20);
      gid = await group.storage.controller.snapshot(VOLUME);
      cpSync(notes, before, { recursive: true });
      network.isCut = false;
      await group.untilRestorable(gid);
      await until("it is noted", isNoted);
    }
    const diffs = await group.archive.controller.get("diff", VOLUME);
    await group.storage.stop();
    cpSync(before, notes, { recursive: true });
    const { passed } = network;
    await group.storage.start();
    await until("it is sent again", async () => (await isNoted()) && network.passed > passed);
    const waiting = () => group.proxy.controller.get("proxy-diff", VOLUME, "a0");
    await until("the proxy has thrown it away", async () => ((await waiting()) as string[]).length === 0);
    expect(await group.archive.controller.get("diff", VOLUME)).toEqual(diffs);
    await writer.write(20);
    expect(await group.compareSnapshot()).toBeGreaterThan(gid);
    network[Symbol.dispose]();
  });

  test.each([
    ["e12", "full-bkp"],
    ["e13", "hash-bkp"],
  ] as const)("%s: the link is cut during %s; it is repeated", async (_name, kind) => {
    let repeater: Repeater | undefined;
    const archivePort = (group: Group) => (repeater ??= new Repeater(group.archive.port)).port;
    const world = new World(await Group.start({ archivePort }));
    await using _ = world;
    const { group, writer } = world;
    const { controller } = group.storage;
    const network = repeater as unknown as Repeater;
    await group.initStorage();
    await writer.write(60);
    if (kind === "hash-bkp") {
      await group.backup("full-bkp");
      await group.compareSnapshot();
      await stop(group.storage);
      await group.untilState(group.storage, "Stopped");
      await controller.command("reset-vol", [VOLUME], "ok");
      await writer.write(60);
    }
    await controller.command("set-full-scan-bps", [String(8 * MIB)], "ok");
    network.cutAfter(kind === "full-bkp" ? 8000 : 400);
    writer.begin();
    await controller.command(kind, [VOLUME, "16K"], "accept");
    await until("the link was cut", () => network.cuts === 1);
    await group.untilState(group.storage, "SyncReady");
    await controller.command("set-full-scan-bps", ["0"], "ok");
    await group.untilState(group.archive, kind === "full-bkp" ? "SyncReady" : "Archived");
    await group.backup(kind);
    await writer.end();
    await group.compareSnapshot();
    network[Symbol.dispose]();
  });
});

describe("r: what is replaced", () => {
  test("r1: the storage is replaced by another one, which has a copy of the volume", async () => {
    await using world = await backedUp({ storages: 2 });
    const { group, writer } = world;
    const [s0, s1] = group.storages as [Node, Node];
    await writer.write(20);
    await group.compareSnapshot();
    {
      await using from = await group.client(s0);
      await using to = await group.client(s1);
      await to.writeAll(await from.readAll());
    }
    await stop(s0, "force");
    await group.untilState(s0, "Stopped");
    await s0.controller.command("reset-vol", [VOLUME], "ok");
    await s0.controller.command("clear-vol", [VOLUME], "ok");
    expect(await group.state(s0)).toBe("Clear");
    await group.initStorage(s1);
    await group.backup("hash-bkp", s1);
    await group.compareSnapshot(s1);
  });

  test("r2: the proxy is replaced by another one, and no point is lost", async () => {
    let ports: number[] = [];
    await using world = await backedUp({
      proxyPorts: (group) => (ports.length > 0 ? ports : [group.proxy.port]),
    });
    const { group, writer } = world;
    const gid = await group.compareSnapshot();
    const next = await group.addProxy("p1");
    ports = [next.port];
    await writer.write(20);
    await stop(group.proxy, "empty");
    await until("the old proxy is empty", async () => (await group.state(group.proxy)) === "Stopped");
    await group.storage.stop();
    await group.storage.start();
    await group.proxy.controller.command("clear-vol", [VOLUME], "ok");
    await group.compareSnapshot();
    expect(await group.restorable()).toContain(gid);
  });

  test("r3: the primary archive is replaced by an empty one", async () => {
    let port: number | undefined;
    await using world = await backedUp({ archivePort: (group) => port ?? group.archive.port });
    const { group, writer } = world;
    const next = await group.addArchive("b0");
    port = next.port;
    await writer.write(20);
    await stop(group.storage, "force");
    await group.untilState(group.storage, "Stopped");
    await group.storage.controller.command("reset-vol", [VOLUME], "ok");
    await stop(group.proxy, "force");
    await until("the proxy has stopped", async () => (await group.state(group.proxy)) === "Stopped");
    await group.proxy.controller.changeForwarding("delete", VOLUME, "a0");
    await group.registerArchive(group.proxy, 1);
    await group.storage.stop();
    await group.storage.start();
    await group.backup("full-bkp");
    await group.compareSnapshot(group.storage, [next]);
  });
});

test("scenario1: three volumes, everything at random, for a few seconds (the soak is longer)", async () => {
  const { rounds } = await runScenario1(4, 11);
  expect(rounds).toBeGreaterThan(0);
});
