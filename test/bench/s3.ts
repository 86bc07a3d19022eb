/**
 * `bun run bench s3`: an archive with its images on the local disk beside one with a bucket, under the same storage: how long a
 * full copy and ten diffs take until they are acknowledged, until they are in the bucket, and until a point is restored.
 *
 * The store is s3rver on loopback, a process of its own on the same disk: a stand-in that costs CPU where a real one costs
 * network, so ratios say what our side costs, and little about a store in another house. The archive runs in this process.
 */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { z } from "zod";
import { restoreFromBucket } from "../../src/backup/bucket/restore.ts";
import { realClock } from "../../src/core/seams/clock.ts";
import { defaultFlag, integerFlag, valueFlag } from "../../src/core/load/flags.ts";
import { openS3 } from "../../src/core/seams/object-store-s3.ts";
import { seededRandom } from "../../src/core/seams/random.ts";
import { realWorld } from "../../src/core/seams/world-real.ts";
import { BUCKET, CREDENTIALS } from "../backup/bucket/fake-s3.ts";
import { bucketStats, inStep } from "../backup/bucket/bucketed.ts";
import { at, settled } from "../backup/group.ts";
import { type Running, startArchive, TestStorage, VOLUME } from "../backup/servers.ts";
import { benchCommand, type Report } from "./command.ts";

const DIFFS = 10;

const flags = z.object({
  mib: defaultFlag(integerFlag(8, 65_536), "N", "Size of the volume in MiB", "256"),
  only: valueFlag(z.enum(["local", "second", "primary"]), "MODE", "Only this one"),
});

const modes = ["local", "second", "primary"] as const;
type Mode = (typeof modes)[number];

interface Times {
  copySeconds: number;
  diffsSeconds: number;
  inBucketSeconds: number;
  restoreSeconds: number;
  putBytes: number;
  diffBytes: number;
}

const seconds = async (work: () => Promise<unknown>) => {
  const startMs = performance.now();
  await work();
  return (performance.now() - startMs) / 1000;
};

function bucketOf(mode: Mode, directory: string, endpoint: string) {
  const credentialsFile = join(directory, "credentials.json");
  writeFileSync(credentialsFile, JSON.stringify(CREDENTIALS), { mode: 0o600 });
  if (mode === "local") return {};
  return { bucket: { url: `s3://${BUCKET}/${mode}`, endpoint, credentialsFile, mode, intervalMs: 20 } };
}

/** The same writes for every mode: the storage begins from one seed. */
async function fill(archive: Running, mib: number): Promise<{ storage: TestStorage; times: Times }> {
  const world = { ...realWorld(), random: seededRandom(5) };
  const storage = new TestStorage(world, mib * 2048);
  const random = seededRandom(6);
  const unit = random.bytes(1 << 20);
  // Half of it is zeros, half hardly compresses.
  for (let index = 1; index < mib; index += 2) {
    storage.image.set(unit, index << 20);
    storage.image.writeUInt32LE(index, index << 20);
  }
  await archive.controller.command("init-vol", [VOLUME], "ok");
  const address = at(archive.port);
  const copySeconds = await seconds(() => storage.fullSync(address, { bulkBlocks: 512 }));
  const diffsSeconds = await seconds(async () => {
    for (let index = 0; index < DIFFS; index++) {
      storage.write(100, 64);
      const answer = await storage.shipAsProxy(address, storage.snapshot());
      if (answer !== "accept") throw new Error(`the archive answers ${answer}`);
    }
  });
  const diffBytes = Number(await archive.controller.get("total-diff-size", VOLUME));
  const rest = { inBucketSeconds: 0, restoreSeconds: 0, putBytes: 0 };
  return { storage, times: { copySeconds, diffsSeconds, diffBytes, ...rest } };
}

async function measure(mode: Mode, mib: number, directory: string, endpoint: string): Promise<Times> {
  const dataDir = join(directory, mode);
  mkdirSync(dataDir);
  const config = bucketOf(mode, directory, endpoint);
  await using archive = await startArchive(realWorld(), { dataDir, config });
  const startMs = performance.now();
  const { storage, times } = await fill(archive, mib);
  if (mode !== "local") {
    await inStep(archive);
    times.inBucketSeconds = (performance.now() - startMs) / 1000;
    times.putBytes = bucketStats(archive).bytesPut;
  }
  const gid = storage.gid;
  const path = join(directory, `${mode}.img`);
  times.restoreSeconds = await seconds(async () => {
    if (mode === "second") await fromBucket(path, gid, mode, endpoint);
    else {
      await archive.controller.command("restore", [VOLUME, String(gid)], "accept");
      await settled(archive, "Restore");
    }
  });
  const restored = mode === "second" ? path : join(dataDir, "archive", VOLUME, `wr_${VOLUME}_${gid}`);
  if (!Buffer.from(await Bun.file(restored).arrayBuffer()).equals(storage.image))
    throw new Error(`${mode}: the restored image is another`);
  return times;
}

/** As on a machine that has nothing. */
async function fromBucket(path: string, gid: bigint, mode: Mode, endpoint: string): Promise<void> {
  const place = {
    bucket: BUCKET,
    prefix: mode,
    endpoint,
    isPathStyle: true,
    timeoutMs: 60_000,
    ...CREDENTIALS,
  };
  const { disk, random } = realWorld();
  await restoreFromBucket({
    ...{ disk, random, store: openS3(place, realClock), volume: VOLUME, path },
    choose: (points) => points.find((point) => point.gid === gid) as (typeof points)[number],
  });
}

function tell(mode: Mode, mib: number, times: Times, local: Times | undefined, report: Report): void {
  const rate = (name: string, figure: number, bytes: number, beside: number | undefined) => {
    const ratio = beside === undefined ? "" : `, ${(figure / beside).toFixed(2)} x the time of local`;
    // Nothing is judged: what a store costs is the store's.
    const limit = { name, better: "higher", floor: 0 } as const;
    report(limit, `${mode}: ${name}, MB/s`, bytes / figure / 1e6, `${figure.toFixed(2)} s${ratio}`);
  };
  const bytes = mib << 20;
  rate("full copy acknowledged", times.copySeconds, bytes, local?.copySeconds);
  rate("diffs acknowledged", times.diffsSeconds, times.diffBytes, local?.diffsSeconds);
  if (mode !== "local")
    rate("in the bucket, from the start", times.inBucketSeconds, times.putBytes, undefined);
  rate("restore", times.restoreSeconds, bytes, local?.restoreSeconds);
}

export const benchS3 = benchCommand({
  name: "s3",
  summary: "An archive on its disk beside one with a bucket: taking copies and diffs, restoring",
  flags,
  async run({ mib, only }, report) {
    const output = join(import.meta.dir, "../../dist/bench");
    mkdirSync(output, { recursive: true });
    const directory = mkdtempSync(join(output, "s3-"));
    const server = Bun.spawn([process.execPath, join(import.meta.dir, "s3-server.ts"), directory], {
      stdio: ["ignore", "pipe", "inherit"],
    });
    try {
      const reader = server.stdout.getReader();
      const endpoint = new TextDecoder().decode((await reader.read()).value).trim();
      let local: Times | undefined;
      const all: Partial<Record<Mode, Times>> = {};
      for (const mode of modes) {
        if (only !== undefined && only !== mode) continue;
        const times = await measure(mode, mib, directory, endpoint);
        tell(mode, mib, times, mode === "local" ? undefined : local, report);
        all[mode] = times;
        if (mode === "local") local = times;
      }
      writeFileSync(join(output, "s3.json"), `${JSON.stringify({ mib, measured: all }, null, 2)}\n`);
    } finally {
      server.kill();
      rmSync(directory, { recursive: true });
    }
  },
});
