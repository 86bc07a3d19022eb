/**
 * kill -9 of a storage under clients that write: the executable as a process, with archive and proxy beside it. Every write
 * that was acknowledged is there after the restart, whole, and in the end the archive has the same image. Beside them fio
 * writes to a volume of its own, and verifies every block of it after each kill.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { seededRandom, type Random } from "../../src/core/seams/random.ts";
import type { NbdClient } from "../../src/backup/nbd/client.ts";
import { imageHash } from "../backup/hash.ts";
import { VOLUME } from "../backup/servers.ts";
import { ProcessGroup } from "./backup-processes.ts";
import { until } from "./executable.ts";
import { fillByFio, loadByFio, verifyByFio } from "./fio-load.ts";

const MIB = 8;
const UNIT = 4096;
const UNITS = (MIB << 20) / UNIT;
const CLIENTS = 3;
const FIO_MIB = 4;

/** What a unit of the volume may hold: the last acknowledged version, or one that was under way. */
class Expected {
  readonly acknowledged = new Uint32Array(UNITS);
  readonly underway = new Map<number, number[]>();

  bytes(unit: number, version: number): Buffer {
    const content = Buffer.alloc(UNIT);
    if (version === 0) return content;
    for (let at = 0; at < UNIT; at += 8) {
      content.writeUInt32LE(version, at);
      content.writeUInt32LE((unit * 2654435761 + at) >>> 0, at + 4);
    }
    return content;
  }

  /** Throws at a unit that is neither; takes what it found. */
  verify(image: Buffer, when: string): void {
    for (let unit = 0; unit < UNITS; unit++) {
      const found = image.subarray(unit * UNIT, (unit + 1) * UNIT);
      const versions = [this.acknowledged[unit] as number, ...(this.underway.get(unit) ?? [])];
      const version = versions.findLast((each) => this.bytes(unit, each).equals(found));
      if (version === undefined)
        throw new Error(
          `${when}: unit ${unit} holds version ${found.readUInt32LE(0)}, wanted one of ${versions.join(", ")}`,
        );
      this.acknowledged[unit] = version;
    }
    this.underway.clear();
  }
}

/** Writes until the connection goes. Each client has units of its own. */
async function write(
  client: NbdClient,
  index: number,
  expected: Expected,
  random: Random,
  next: () => number,
): Promise<void> {
  for (;;) {
    // Some are long enough to go past the page cache.
    const count = 1 + random.integer(random.integer(8) === 0 ? (random.integer(4) === 0 ? 600 : 32) : 4);
    const own = Math.floor(UNITS / CLIENTS);
    const unit = index * own + random.integer(own - count);
    const versions = Array.from({ length: count }, () => next());
    versions.forEach((version, at) => {
      const known = expected.underway.get(unit + at) ?? [];
      expected.underway.set(unit + at, [...known, version]);
    });
    await client.write(
      Buffer.concat(versions.map((version, at) => expected.bytes(unit + at, version))),
      unit * UNIT,
      random.integer(20) === 0,
    );
    versions.forEach((version, at) => {
      expected.acknowledged[unit + at] = version;
      expected.underway.delete(unit + at);
    });
    if (random.integer(40) === 0) await client.flush();
  }
}

export async function runStorageKill9(
  kills: number,
  seed: number,
): Promise<{ kills: number; writes: number }> {
  const directory = mkdtempSync(join(tmpdir(), "node-x-storage-kill9-"));
  const random = seededRandom(seed);
  const expected = new Expected();
  let writes = 0;
  const volumes = [
    { name: VOLUME, size: `${MIB}M`, logSize: "64M" },
    { name: "fio", size: `${FIO_MIB}M`, logSize: "2M" },
  ];
  const storageKeys = { volumes, shipDelayMs: 20, retryMinMs: 50, retryMaxMs: 200 };
  try {
    await using group = new ProcessGroup(directory, { mib: MIB, logMib: 64, storageKeys });
    await group.start();
    await group.fullBackup();
    const fioUri = () => group.uri.replace(/[^/]*$/, "fio");
    await fillByFio(fioUri(), FIO_MIB);
    for (let done = 0; done < kills; done++) {
      const clients = await Promise.all(Array.from({ length: CLIENTS }, () => group.client()));
      const work = clients.map((client, index) =>
        write(client, index, expected, random, () => ++writes).catch(() => undefined),
      );
      const load = loadByFio(fioUri(), FIO_MIB, 1 + random.integer(2 ** 30));
      await until("fio", async () => {
        const lines = await group.storage.controller.volumes(["list"]);
        return lines.some((line) => /^name:fio\t.*\tclients:1\t/.test(line)) ? true : undefined;
      });
      await Bun.sleep(20 + random.integer(120));
      await group.storage.kill();
      await Promise.all([...work, load.end()]);
      await group.storage.start();
      await using reader = await group.client();
      const when = `seed ${seed}, kill ${done}`;
      expected.verify(await reader.readAll(), when);
      await verifyByFio(fioUri(), FIO_MIB, when);
    }
    await using reader = await group.client();
    const image = await reader.readAll();
    if ((await group.storage.controller.get("is-overflow", VOLUME)) === 1n)
      throw new Error(`seed ${seed}: nothing was lost, but shipping did not keep up and the log overflowed`);
    const gid = await group.storage.controller.snapshot(VOLUME);
    await group.untilRestorable(gid);
    const hash = Buffer.from(await group.archive.controller.blockHash([VOLUME, String(gid), "64K"])).toString(
      "hex",
    );
    if (hash !== imageHash(image, 65536))
      throw new Error(`seed ${seed}: the archive's image at ${gid} is not the volume's`);
    return { kills, writes };
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}
