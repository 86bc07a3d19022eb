/**
 * How much memory an archive takes for a volume of some size: a process of the executable receives a full copy and diffs,
 * restores, applies and hashes. What the storage's side needs is in this process and does not count.
 */
import { mkdirSync } from "node:fs";
import { realWorld } from "../../src/core/seams/world-real.ts";
import { controllerOf, TestStorage, VOLUME } from "../backup/servers.ts";
import { WalbServerProcess } from "../e2e/walb-server-process.ts";

/** Of silence: an image of some GiB is hashed without a word. */
const SILENCE_MS = 120_000;
const WRITES = 400;

/** The most memory the archive has had, in MiB, and how long the work took. */
export async function archiveMemory(
  directory: string,
  mib: number,
): Promise<{ seconds: number; memoryMiB: number }> {
  mkdirSync(directory);
  const world = realWorld();
  const archive = new WalbServerProcess(directory, "a0", "walb-archive");
  const startMs = performance.now();
  try {
    await archive.start();
    const controller = controllerOf(world, "127.0.0.1", archive.port, SILENCE_MS);
    const storage = new TestStorage(world, mib * 2048, SILENCE_MS);
    const ship = async () => {
      storage.write(WRITES, 512);
      const answer = await storage.shipAsProxy(archive.address, storage.snapshot(true));
      if (answer !== "accept") throw new Error(`the archive says ${answer}`);
    };
    const work = async (command: string, action: string, ...words: string[]) => {
      await controller.command(command, [VOLUME, ...words], "accept");
      while ((await controller.get("num-action", VOLUME, action)) !== 0n) await Bun.sleep(5);
    };
    await controller.command("init-vol", [VOLUME], "ok");
    await storage.fullSync(archive.address, { bulkBlocks: 512 });
    for (let index = 0; index < 4; index++) await ship();
    await work("restore", "Restore", "2");
    await work("merge", "Merge", "1", "size", "1024");
    await work("apply", "Apply", "3");
    await controller.blockHash([VOLUME, "4"]);
    return { seconds: (performance.now() - startMs) / 1000, memoryMiB: archive.peakMiB };
  } finally {
    await archive.kill();
  }
}
