/**
 * A block device of this host as a volume: what is on it stays, what clients write reaches it, and a device that somebody
 * else has is refused. Loop devices stand for disks, where this machine lets us make them.
 */
import { afterAll, expect, setDefaultTimeout, test } from "bun:test";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Group, until } from "../storage/cluster.ts";

setDefaultTimeout(60_000);
const MIB = 1 << 20;
const BYTES = 4 * MIB;
const directory = mkdtempSync(join(tmpdir(), "node-x-device-"));
const image = join(directory, "disk.img");
const run = (...words: string[]) => Bun.spawnSync(words, { stdout: "pipe", stderr: "pipe" });

const before = Buffer.alloc(BYTES);
for (let block = 0; block < BYTES / 512; block++) before.writeUInt32LE(block, block * 512);
writeFileSync(image, before);
const made = run("losetup", "--find", "--show", image);
const loop = made.exitCode === 0 ? made.stdout.toString().trim() : undefined;
afterAll(() => {
  if (loop !== undefined) run("losetup", "--detach", loop);
  rmSync(directory, { recursive: true, force: true });
});

test.skipIf(loop === undefined)(
  "a block device becomes a volume with what is on it, is backed up by its path, and has what clients wrote",
  async () => {
    const device = loop as string;
    const wanted = Buffer.from(before);
    {
      await using group = await Group.start({ volumes: ["disk1"], storageConfig: { volumes: [] } });
      const { controller } = group.storage;
      await controller.volumes(["create", "disk1", device, "1M"]);
      await expect(controller.volumes(["create", "disk2", device, "1M"])).rejects.toThrow(
        "is the volume disk1 already",
      );
      await controller.command("init-vol", ["disk1", device], "ok");
      await group.backup("full-bkp", group.storage, "disk1");
      await group.compareSnapshot(group.storage, [group.archive], "disk1");
      await using client = await group.client(group.storage, "disk1");
      expect(client.bytes).toBe(BYTES);
      expect(Buffer.from(await client.readAll()).equals(wanted)).toBe(true);
      const data = Buffer.alloc(8192, 7);
      for (const offset of [0, 12_288, BYTES - 8192]) {
        await client.write(data, offset);
        wanted.set(data, offset);
      }
      await client.trim(MIB, MIB);
      wanted.fill(0, MIB, 2 * MIB);
      await group.compareSnapshot(group.storage, [group.archive], "disk1");
      await expect(controller.volumes(["resize", "disk1", "8M"])).rejects.toThrow("has to grow first");
      await group.storage.stop();
      await group.storage.start();
      await group.compareSnapshot(group.storage, [group.archive], "disk1");
    }
    run("blockdev", "--flushbufs", device);
    expect(readFileSync(image).equals(wanted)).toBe(true);
  },
);

test.skipIf(loop === undefined)("a block device that is mounted is no volume", async () => {
  const device = loop as string;
  const mount = join(directory, "mount");
  mkdirSync(mount);
  expect(run("mke2fs", "-q", "-F", device).exitCode).toBe(0);
  if (run("mount", device, mount).exitCode !== 0) return;
  try {
    await using group = await Group.start({ storageConfig: { volumes: [] } });
    const create = group.storage.controller.volumes(["create", "disk1", device, "1M"]);
    await expect(create).rejects.toThrow("EBUSY");
    await until(
      "nothing is left of it",
      async () => (await group.storage.controller.volumes(["list"])).length === 0,
    );
  } finally {
    run("umount", mount);
  }
});
