/**
 * kill -9 of two archives and a proxy under a storage that ships: all run as the executable under the names of the original
 * programs. The first archive replicates to the second, merges, applies and restores meanwhile. Everything that the proxy
 * acknowledged is restorable in the end on both, and the image is the storage's.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ensureExecutable } from "../../build.ts";
import { snappy } from "../../src/backup/formats/compression.ts";
import type { Controller } from "../../src/backup/client/controller.ts";
import { type Random, seededRandom } from "../../src/core/seams/random.ts";
import { realWorld } from "../../src/core/seams/world-real.ts";
import { controllerOf, TestStorage, VOLUME } from "../backup/servers.ts";
import { imageHash } from "../backup/hash.ts";
import { until } from "./executable.ts";
import { WalbServerProcess } from "./walb-server-process.ts";

const BLOCKS = 4096;

const replicate = (control: Controller, { address }: WalbServerProcess, gid: bigint) =>
  control.command("replicate", [VOLUME, "gid", String(gid), `${address.host}:${address.port}`], "accept");

/** Something that an operator or a rule would have the archive do; it may be refused, and cut by a kill. */
async function chore(control: Controller, second: WalbServerProcess, random: Random): Promise<void> {
  const lines = (await control.get("restorable", VOLUME)) as string[];
  const gids = lines.map((line) => line.split(" ")[0] as string);
  const newest = gids.at(-1);
  if (newest === undefined) return;
  const [oldest = newest, old = newest] = [gids[0], gids.at(-4)];
  const kind = random.integer(6);
  if (kind === 0) await control.command("apply", [VOLUME, old], "accept");
  else if (kind === 1) {
    await control.command("disable-snapshot", [VOLUME, ...gids.slice(1, -2)], "ok");
    await control.command("merge", [VOLUME, oldest, "gid", old], "accept");
  } else if (kind === 2) {
    await control.command("restore", [VOLUME, newest], "accept");
    for (const gid of (await control.get("restored", VOLUME)) as string[])
      await control.command("del-restored", [VOLUME, gid], "ok");
  } else await replicate(control, second, BigInt(newest));
}

export async function runBackupKill9(
  kills: number,
  seed: number,
): Promise<{ kills: number; victims: Record<string, number>; shipped: number; retries: number }> {
  await ensureExecutable();
  const directory = mkdtempSync(join(tmpdir(), "node-x-backup-kill9-"));
  const random = seededRandom(seed);
  const world = { ...realWorld(), random };
  const archive = new WalbServerProcess(directory, "a0", "walb-archive");
  const second = new WalbServerProcess(directory, "a1", "walb-archive");
  const proxy = new WalbServerProcess(directory, "p0", "walb-proxy");
  const victims = { archive: 0, second: 0, proxy: 0 };
  let retries = 0;
  let shipped = 0;
  try {
    for (const server of [archive, second, proxy]) await server.start();
    const secondControl = controllerOf(world, "127.0.0.1", second.port);
    await secondControl.command("init-vol", [VOLUME], "ok");
    const archiveControl = controllerOf(world, "127.0.0.1", archive.port);
    const proxyControl = controllerOf(world, "127.0.0.1", proxy.port);
    await archiveControl.command("init-vol", [VOLUME], "ok");
    await proxyControl.changeForwarding("add", VOLUME, "a0", {
      archive: archive.address,
      compression: snappy,
      delaySeconds: 0,
    });
    await proxyControl.command("start", [VOLUME], "ok");
    const storage = new TestStorage(world, BLOCKS);
    storage.write(30);
    await storage.fullSync(archive.address);
    for (let done = 0; done < kills; done++) {
      storage.write(6);
      const shipment = storage.snapshot(random.integer(2) === 0);
      const name = (["archive", "second", "proxy"] as const)[random.integer(3)] ?? "proxy";
      const victim = { archive, second, proxy }[name];
      victims[name] += 1;
      void chore(archiveControl, second, random).catch(() => undefined);
      const killed = (async () => {
        await Bun.sleep(random.integer(25));
        await victim.kill();
        await victim.start();
      })();
      // A storage ships again until it is acknowledged.
      for (let isAcknowledged = false; !isAcknowledged;) {
        isAcknowledged = await storage.ship(proxy.address, shipment).then(
          () => true,
          () => false,
        );
        if (!isAcknowledged) {
          retries += 1;
          await Bun.sleep(10);
        }
      }
      shipped += 1;
      await killed;
    }
    const last = storage.gid;
    await until(`gid ${last} at the archive`, async () => {
      const newest = await archiveControl.get("meta-snap", VOLUME).catch(() => undefined);
      return newest === `|${last}|` ? true : undefined;
    });
    await until(`gid ${last} at the second archive`, async () => {
      await replicate(archiveControl, second, last).catch(() => undefined);
      const newest = await secondControl.get("meta-snap", VOLUME).catch(() => undefined);
      return newest === `|${last}|` ? true : undefined;
    });
    for (const [name, control] of [
      ["first", archiveControl],
      ["second", secondControl],
    ] as const) {
      const hash = Buffer.from(await control.blockHash([VOLUME, String(last), "64K"])).toString("hex");
      if (hash !== imageHash(storage.image, 65536))
        throw new Error(`seed ${seed}: the image at ${last} on the ${name} archive is not the storage's`);
    }
    return { kills, victims, shipped, retries };
  } finally {
    for (const server of [archive, second, proxy]) await server.kill();
    rmSync(directory, { recursive: true, force: true });
  }
}
