/** One suite over every way to keep images: files, logical volumes, thin volumes. The last two over an LVM of ours. */
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { copyFileSync, existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { cli, temporaryDirectory } from "../../cli/helpers.ts";
import { at, gidsOf, Group, isState, replicate, settled } from "../group.ts";
import { type Running, type TestStorage, VOLUME } from "../servers.ts";
import { FakeLvm } from "./fake-lvm.ts";

/** For a machine under load. */
setDefaultTimeout(60_000);

let place: ReturnType<typeof temporaryDirectory>;
beforeAll(() => {
  place = temporaryDirectory();
});
afterAll(() => place.remove());

let count = 0;

/** A group whose archive a0 keeps images in this way. */
class Case extends Group {
  readonly lvm: FakeLvm | undefined;
  readonly #config: Record<string, unknown>;

  readonly #sharesBlocks: boolean;

  constructor(
    kind: "files" | "files that share blocks" | "linear" | "thin",
    config: Record<string, unknown> = {},
  ) {
    const directory = join(place.path, `case-${++count}`);
    super(directory, 3000 * count);
    const pool = kind === "thin" ? "tp0" : "";
    this.#sharesBlocks = kind === "files that share blocks";
    this.lvm = kind.startsWith("files") ? undefined : new FakeLvm(join(directory, "dev"), "vg0", pool);
    this.#config = {
      ...config,
      ...(this.lvm !== undefined && { volumeGroup: "vg0", deviceDirectory: this.lvm.devices }),
      ...(pool !== "" && { thinPool: pool }),
    };
  }

  override world() {
    const world = super.world();
    // Stands for a file system that can: the content is the same.
    const clone = async (from: string, to: string) => {
      copyFileSync(from, to);
      return true;
    };
    const disk = this.#sharesBlocks ? Object.assign(world.disk, { clone }) : world.disk;
    return { ...world, disk, ...(this.lvm !== undefined && { run: this.lvm.run }) };
  }

  a0(): Promise<Running> {
    return this.archive("a0", this.#config);
  }

  #image(gid: bigint): Buffer {
    const name = `wr_${VOLUME}_${gid}`;
    return readFileSync(
      this.lvm === undefined ? this.pathOf("a0", name) : join(this.lvm.devices, "vg0", name),
    );
  }

  /** `walb verify` over the archive and its volume group. */
  verify() {
    const { devices } = this.lvm as FakeLvm;
    return cli(["walb", "verify", join(this.directory, "a0/archive"), "-vg", "vg0", "-dev", devices]);
  }

  /** Flips a bit in each of the 256 KiB of a logical volume; a second time it is whole again. */
  flip(name: string): void {
    const path = join((this.lvm as FakeLvm).devices, "vg0", name);
    const bytes = readFileSync(path);
    for (let at = 1000; at < bytes.byteLength; at += 256 << 10) bytes[at] = (bytes[at] as number) ^ 4;
    writeFileSync(path, bytes);
  }

  /** Restores and compares; what LVM has rounded up to is left out. */
  async expectPoint(a0: Running, gid: bigint, image: Buffer): Promise<void> {
    await a0.controller.command("restore", [VOLUME, String(gid)], "accept");
    await settled(a0, "Restore");
    expect(this.#image(gid).subarray(0, image.byteLength).equals(image)).toBe(true);
  }
}

async function history(group: Case, a0: Running, storage: TestStorage, points: number) {
  const images = new Map<bigint, Buffer>();
  for (let index = 0; index < points; index++) {
    storage.write(8);
    images.set(await group.point(a0, storage), Buffer.from(storage.image));
  }
  return images;
}

describe.each(["files", "files that share blocks", "linear", "thin"] as const)("images in %s", (kind) => {
  test("every point restores, also after an apply and a restart, and images go with their volume", async () => {
    await using group = new Case(kind);
    let a0 = await group.a0();
    const storage = await group.copied(a0, 2050);
    const images = await history(group, a0, storage, 5);
    for (const gid of [2n, 4n]) await group.expectPoint(a0, gid, images.get(gid) as Buffer);
    expect(await a0.controller.get("restored", VOLUME)).toEqual(["2", "4"]);
    await a0.controller.command("apply", [VOLUME, "3"], "accept");
    await settled(a0, "Apply");
    expect(await a0.controller.get("base", VOLUME)).toMatch(/^<\|3\|>-/);
    await group.stop("a0");
    a0 = await group.a0();
    expect(await gidsOf(a0)).toEqual(["3", "4", "5"]);
    for (const gid of [3n, 5n]) await group.expectPoint(a0, gid, images.get(gid) as Buffer);
    await a0.controller.command("del-restored", [VOLUME, "2"], "ok");
    expect(await a0.controller.get("restored", VOLUME)).toEqual(["3", "4", "5"]);
    await a0.controller.command("stop", [VOLUME], "accept");
    await isState(a0, "Stopped");
    await a0.controller.command("clear-vol", [VOLUME], "ok");
    expect(group.lvm?.names ?? []).toEqual(kind === "thin" ? ["tp0"] : []);
  });

  test("a volume grows, and what it has gained reads as zeros where that was asked for", async () => {
    await using group = new Case(kind);
    const a0 = await group.a0();
    const storage = await group.copied(a0);
    await history(group, a0, storage, 1);
    storage.image = Buffer.concat([storage.image, Buffer.alloc(1 << 20)]);
    await a0.controller.command("resize", [VOLUME, String(storage.image.byteLength), "zeroclear"], "ok");
    await settled(a0, "Resize");
    const images = await history(group, a0, storage, 1);
    await group.expectPoint(a0, 2n, images.get(2n) as Buffer);
    await expect(a0.controller.command("resize", [VOLUME, "512"], "ok")).rejects.toThrow("shrink");
  });

  test("hash backups and replication from and to other archives", async () => {
    await using group = new Case(kind);
    const a0 = await group.a0();
    const storage = await group.copied(a0);
    const images = await history(group, a0, storage, 2);
    storage.write(20);
    await storage.hashSync(at(a0.port));
    for (const [gid, image] of await history(group, a0, storage, 1)) images.set(gid, image);
    const a1 = await group.archive("a1");
    await a1.controller.command("init-vol", [VOLUME], "ok");
    await replicate(a0, a1.port, 4);
    const newest = BigInt((await gidsOf(a1)).at(-1) as string);
    await group.expectImage(a1, newest, images.get(newest) as Buffer, "a1");
    await a0.controller.command("stop", [VOLUME], "accept");
    await isState(a0, "Stopped");
    await a0.controller.command("reset-vol", [VOLUME], "ok");
    await replicate(a1, a0.port, newest);
    await group.expectPoint(a0, 2n, images.get(2n) as Buffer);
    await group.expectPoint(a0, newest, images.get(newest) as Buffer);
  });
});

describe.each(["linear", "thin"] as const)("checksums of bases that are LVs, %s", (kind) => {
  test("a flipped bit is found by verify, and refused by an apply; whole again, it goes on", async () => {
    await using group = new Case(kind);
    const a0 = await group.a0();
    await history(group, a0, await group.copied(a0, 2050), 3);
    expect(await group.verify()).toMatchObject({ code: 0, stderr: "" });
    group.flip(`wb_${VOLUME}`);
    expect(await group.verify()).toMatchObject({
      code: 65,
      stderr: expect.stringContaining(`wb_${VOLUME}: damaged at byte 0 or in the 256 KiB behind it`),
    });
    const apply = async () => {
      await a0.controller.command("apply", [VOLUME, "2"], "accept");
      await settled(a0, "Apply");
      return await a0.controller.get("base", VOLUME);
    };
    expect(await apply()).toMatch(/^<\|0(,1)?\|-->\|2\|>-/);
    group.flip(`wb_${VOLUME}`);
    expect(await apply()).toMatch(/^<\|2\|>-/);
    expect(await group.verify()).toMatchObject({ code: 0, stderr: "" });
    group.flip(`wb_${VOLUME}`);
    expect((await group.verify()).code).toBe(65);
  });

  test("the control: without its side file damage is not seen, and neither is an image that nobody looked for", async () => {
    await using group = new Case(kind);
    const a0 = await group.a0();
    await history(group, a0, await group.copied(a0, 2050), 1);
    group.flip(`wb_${VOLUME}`);
    expect(await cli(["walb", "verify", join(group.directory, "a0/archive")])).toMatchObject({
      code: 0,
      stderr: expect.stringContaining("not read: the image of"),
    });
    const names = readdirSync(group.pathOf("a0", "")).filter((name) => name.startsWith("base-"));
    expect(names).toHaveLength(1);
    rmSync(group.pathOf("a0", names[0] as string));
    expect(await group.verify()).toMatchObject({ code: 0, stderr: expect.stringContaining("no checksums") });
  });
});

test("a cold snapshot has checksums, which are those of the base that it becomes; a damaged base leaves none", async () => {
  await using group = new Case("thin");
  const a0 = await group.a0();
  await history(group, a0, await group.copied(a0, 2050), 4);
  const restore = async (gid: string) => {
    await a0.controller.command("restore", [VOLUME, gid], "accept");
    await settled(a0, "Restore");
  };
  // From the base, and from the cold snapshot before.
  for (const gid of ["1", "2"]) {
    await restore(gid);
    const cold = `wc_${VOLUME}_${gid}`;
    expect(await group.verify()).toMatchObject({ code: 0, stderr: "" });
    group.flip(cold);
    expect(await group.verify()).toMatchObject({ code: 65, stderr: expect.stringContaining(cold) });
    group.flip(cold);
  }
  await a0.controller.command("apply", [VOLUME, "2"], "accept");
  await settled(a0, "Apply");
  expect(existsSync(group.pathOf("a0", "base-2-2.crc32c"))).toBe(true);
  expect(existsSync(group.pathOf("a0", "cold-2.crc32c"))).toBe(false);
  expect(await group.verify()).toMatchObject({ code: 0, stderr: "" });
  group.flip(`wb_${VOLUME}`);
  expect((await group.verify()).code).toBe(65);
  await restore("3");
  expect(await a0.controller.get("restored", VOLUME)).toContain("3");
  expect(await a0.controller.get("cold", VOLUME)).toEqual([]);
});

test("the command lines of LVM", async () => {
  await using group = new Case("linear");
  const a0 = await group.a0();
  const storage = await group.copied(a0, 2048);
  await group.point(a0, storage);
  await a0.controller.command("restore", [VOLUME, "1"], "accept");
  await settled(a0, "Restore");
  await a0.controller.command("resize", [VOLUME, "2m"], "ok");
  await a0.controller.command("del-restored", [VOLUME, "1"], "ok");
  expect(group.lvm?.commands).toEqual([
    "lvcreate -y -n wb_vol1 -L 1048576b vg0",
    "lvcreate -y -s -n wr_vol1_1_tmp -L 1258496b vg0/wb_vol1",
    "lvrename vg0 wr_vol1_1_tmp wr_vol1_1",
    "lvresize -f -L 2097152b vg0/wb_vol1",
    "lvremove -f vg0/wr_vol1_1",
  ]);
});

test("the command lines of LVM with a thin pool: a restore leaves a cold snapshot, which becomes the base", async () => {
  await using group = new Case("thin");
  const a0 = await group.a0();
  const storage = await group.copied(a0, 2048);
  const images = await history(group, a0, storage, 4);
  await group.expectPoint(a0, 2n, images.get(2n) as Buffer);
  expect(await a0.controller.get("cold", VOLUME)).toEqual(["2"]);
  // From the cold snapshot on.
  await group.expectPoint(a0, 3n, images.get(3n) as Buffer);
  await a0.controller.command("apply", [VOLUME, "3"], "accept");
  await settled(a0, "Apply");
  expect(await a0.controller.get("base", VOLUME)).toMatch(/^<\|3\|>-/);
  expect(await a0.controller.get("cold", VOLUME)).toEqual([]);
  await group.expectPoint(a0, 4n, images.get(4n) as Buffer);
  expect(group.lvm?.commands).toEqual([
    "lvcreate -y -n wb_vol1 --virtualsize 1048576b --thinpool tp0 vg0",
    "lvcreate -y -s -k n -n wr_vol1_2_tmp --permission rw vg0/wb_vol1",
    "lvcreate -y -s -k n -n wc_vol1_2 --permission r vg0/wr_vol1_2_tmp",
    "lvrename vg0 wr_vol1_2_tmp wr_vol1_2",
    "lvcreate -y -s -k n -n wr_vol1_3_tmp --permission rw vg0/wc_vol1_2",
    "lvcreate -y -s -k n -n wc_vol1_3 --permission r vg0/wr_vol1_3_tmp",
    "lvrename vg0 wr_vol1_3_tmp wr_vol1_3",
    "lvrename vg0 wc_vol1_3 wb_vol1_3_tmp",
    "lvremove -f vg0/wb_vol1",
    "lvchange --permission rw vg0/wb_vol1_3_tmp",
    "lvrename vg0 wb_vol1_3_tmp wb_vol1",
    "lvremove -f vg0/wc_vol1_2",
    "lvcreate -y -s -k n -n wr_vol1_4_tmp --permission rw vg0/wb_vol1",
    "lvcreate -y -s -k n -n wc_vol1_4 --permission r vg0/wr_vol1_4_tmp",
    "lvrename vg0 wr_vol1_4_tmp wr_vol1_4",
  ]);
});

test("a cold snapshot from before its volume grew: a restore from it, and a base made of it, have the new length", async () => {
  const blocks = 8192;
  await using group = new Case("thin");
  const a0 = await group.a0();
  const storage = await group.copied(a0, blocks);
  const images = await history(group, a0, storage, 2);
  await group.expectPoint(a0, 2n, images.get(2n) as Buffer);
  await a0.controller.command("resize", [VOLUME, String(2 * blocks * 512), "zeroclear"], "ok");
  await settled(a0, "Resize");
  storage.image = Buffer.concat([storage.image, Buffer.alloc(blocks * 512)]);
  storage.write(20);
  const grown = await group.point(a0, storage);
  const image = Buffer.from(storage.image);
  expect(image.subarray(blocks * 512).some((byte) => byte !== 0)).toBe(true);
  await group.expectPoint(a0, grown, image);
  await a0.controller.command("del-cold", [VOLUME, String(grown)], "ok");
  // The cold snapshot of before becomes the base, and the diff is written behind its old end.
  await a0.controller.command("apply", [VOLUME, String(grown)], "accept");
  await settled(a0, "Apply");
  expect(await a0.controller.get("base", VOLUME)).toMatch(new RegExp(`^<\\|${grown}\\|>-`));
  expect(await a0.controller.get("vol-size", VOLUME)).toBe(BigInt(2 * blocks));
  await a0.controller.command("del-restored", [VOLUME, String(grown)], "ok");
  await group.expectPoint(a0, grown, image);
});

test("a crash at every command of a swap of the base leaves every later point restorable", async () => {
  for (let crashAt = 0; crashAt < 6; crashAt++) {
    await using group = new Case("thin");
    let a0 = await group.a0();
    const storage = await group.copied(a0);
    const images = await history(group, a0, storage, 3);
    await group.expectPoint(a0, 2n, images.get(2n) as Buffer);
    const lvm = group.lvm as FakeLvm;
    lvm.dieAfter(crashAt);
    await a0.controller.command("apply", [VOLUME, "2"], "accept");
    await settled(a0, "Apply");
    await group.stop("a0");
    lvm.revive();
    a0 = await group.a0();
    await group.expectPoint(a0, 3n, images.get(3n) as Buffer);
    const hash = await a0.controller.blockHash([VOLUME, "2"]);
    await a0.controller.command("apply", [VOLUME, "2"], "accept").catch(() => undefined);
    await settled(a0, "Apply");
    expect(await a0.controller.get("base", VOLUME)).toMatch(/^<\|2\|>-/);
    expect(Buffer.from(await a0.controller.blockHash([VOLUME, "2"])).equals(Buffer.from(hash))).toBe(true);
    expect(lvm.names.filter((name) => name.endsWith("_tmp"))).toEqual([]);
    expect(await group.verify()).toMatchObject({ code: 0, stderr: "" });
  }
});

test("with keepsOneCold only the newest cold snapshot stays; del-cold removes it", async () => {
  await using group = new Case("thin", { keepsOneCold: true });
  const a0 = await group.a0();
  const images = await history(group, a0, await group.copied(a0), 3);
  for (const gid of [1n, 3n, 2n]) await group.expectPoint(a0, gid, images.get(gid) as Buffer);
  expect(await a0.controller.get("cold", VOLUME)).toEqual(["3"]);
  await a0.controller.command("del-cold", [VOLUME, "3"], "ok");
  expect(await a0.controller.get("cold", VOLUME)).toEqual([]);
  await expect(a0.controller.command("del-cold", [VOLUME, "3"], "ok")).rejects.toThrow("not found");
});

test("a missing volume group or thin pool ends the start; an image in use is not removed", async () => {
  await using group = new Case("thin");
  const config = { volumeGroup: "vg0", deviceDirectory: group.lvm?.devices };
  await expect(group.archive("a1", { ...config, volumeGroup: "vg9" })).rejects.toThrow(
    "there is no volume group vg9",
  );
  await expect(group.archive("a1", { ...config, thinPool: "tp9" })).rejects.toThrow("has no thin pool tp9");
  await expect(group.archive("a1", { thinPool: "tp0" })).rejects.toThrow("thinPool is of no use");
  const a0 = await group.a0();
  const images = await history(group, a0, await group.copied(a0), 1);
  await group.expectPoint(a0, 1n, images.get(1n) as Buffer);
  group.lvm?.open.add("wr_vol1_1");
  await expect(a0.controller.command("del-restored", [VOLUME, "1"], "ok")).rejects.toThrow("is in use");
});
