/**
 * kill -9 of an archive that writes to a bucket, as the executable, while a storage ships: in mode `second` the bucket holds in
 * the end every point that the archive acknowledged, in mode `primary` it held each at the moment of its acknowledgement, and
 * each is restored without the archive.
 */
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ensureExecutable } from "../../build.ts";
import type { RestorePoint } from "../../src/backup/algebra/snapshot.ts";
import { manifestOf, pointsOf } from "../../src/backup/bucket/reading.ts";
import { restoreFromBucket } from "../../src/backup/bucket/restore.ts";
import { realClock } from "../../src/core/seams/clock.ts";
import { openS3 } from "../../src/core/seams/object-store-s3.ts";
import { seededRandom } from "../../src/core/seams/random.ts";
import { realWorld } from "../../src/core/seams/world-real.ts";
import { BUCKET, CREDENTIALS, FakeS3 } from "../backup/bucket/fake-s3.ts";
import { controllerOf, TestStorage, VOLUME } from "../backup/servers.ts";
import { executable } from "./node-process.ts";
import { until } from "./executable.ts";

const BLOCKS = 4096;
/** On a machine that has much else to do. */
const PATIENCE_MS = 90_000;

class ArchiveProcess {
  readonly #directory: string;
  #child: Bun.Subprocess | undefined;
  port = 0;

  constructor(directory: string, endpoint: string, mode: string) {
    this.#directory = directory;
    const credentialsFile = join(directory, "credentials.json");
    writeFileSync(credentialsFile, JSON.stringify(CREDENTIALS), { mode: 0o600 });
    const bucket = { url: `s3://${BUCKET}/k`, endpoint, credentialsFile, mode };
    const more = { partBytes: 65536, intervalMs: 10, keepUnused: "0", cacheBytesMax: 1 << 20 };
    const config = { dataDir: join(directory, "a0"), port: 0, discard: "zero", connectionsMax: 50 };
    writeFileSync(
      join(directory, "k.archive0.json"),
      JSON.stringify({ ...config, bucket: { ...bucket, ...more } }),
    );
  }

  async start(): Promise<void> {
    const ports = join(this.#directory, "a0/ports.json");
    rmSync(ports, { force: true });
    const words = ["run", "archive", "--config", "k.archive0.json", "--set", `port=${this.port}`];
    this.#child = Bun.spawn([executable, ...words], {
      cwd: this.#directory,
      stdio: ["ignore", "ignore", "ignore"],
    });
    this.port = await until(
      "the archive's port",
      () => {
        try {
          return (JSON.parse(readFileSync(ports, "utf8")) as { port?: number }).port;
        } catch {
          return undefined;
        }
      },
      PATIENCE_MS,
    );
  }

  async kill(): Promise<void> {
    this.#child?.kill("SIGKILL");
    await this.#child?.exited;
  }
}

export async function runBucketKill9(
  kills: number,
  seed: number,
  mode: "second" | "primary",
): Promise<{ acknowledged: number; retries: number }> {
  await ensureExecutable();
  const directory = mkdtempSync(join(tmpdir(), "node-x-bucket-kill9-"));
  const random = seededRandom(seed);
  const world = { ...realWorld(), random };
  await using s3 = new FakeS3();
  // Some requests fail, so that tries overlap with the ends of processes.
  s3.fault = () => (random.integer(40) === 0 ? "503" : undefined);
  const archive = new ArchiveProcess(directory, s3.endpoint, mode);
  const place = { bucket: BUCKET, prefix: "k", endpoint: s3.endpoint, isPathStyle: true, timeoutMs: 10_000 };
  const store = openS3({ ...place, ...CREDENTIALS }, realClock);
  const images = new Map<bigint, Buffer>();
  let retries = 0;
  const gidsThere = async () => pointsOf(await manifestOf(store, VOLUME)).map(({ gid }) => gid);
  try {
    await archive.start();
    const address = () => ({ host: "127.0.0.1", port: archive.port });
    await controllerOf(world, "127.0.0.1", archive.port).command("init-vol", [VOLUME], "ok");
    const storage = new TestStorage(world, BLOCKS);
    storage.write(30);
    await storage.fullSync(address());
    for (let done = 0; done < kills; done++) {
      storage.write(6);
      const shipment = storage.snapshot();
      const killed = (async () => {
        await Bun.sleep(random.integer(60));
        await archive.kill();
        await archive.start();
      })();
      // As a proxy: again until it is taken, or was.
      for (;;) {
        const answer = await storage.shipAsProxy(address(), shipment).catch(() => "cut");
        if (answer === "accept" || answer === "too-old-diff") break;
        retries += 1;
        await Bun.sleep(10);
      }
      const gid = shipment.diff.to.begin;
      images.set(gid, Buffer.from(storage.image));
      if (mode === "primary") {
        s3.fault = () => undefined;
        if (!(await gidsThere()).includes(gid))
          throw new Error(`seed ${seed}: point ${gid} was acknowledged and is not in the bucket`);
        s3.fault = () => (random.integer(40) === 0 ? "503" : undefined);
      }
      await killed;
    }
    s3.fault = () => undefined;
    await until(
      "every point in the bucket",
      async () => {
        const there = await gidsThere().catch((): bigint[] => []);
        return [...images.keys()].every((gid) => there.includes(gid)) ? true : undefined;
      },
      PATIENCE_MS,
    );
    await archive.kill();
    mkdirSync(join(directory, "out"));
    for (const [gid, image] of images) {
      const path = join(directory, "out", String(gid));
      const choose = (points: readonly RestorePoint[]) =>
        points.find((point) => point.gid === gid) as RestorePoint;
      const { disk } = world;
      await restoreFromBucket({ disk, random, store, volume: VOLUME, path, choose });
      if (!readFileSync(path).equals(image)) throw new Error(`seed ${seed}: the image at ${gid} is another`);
    }
    return { acknowledged: images.size, retries };
  } finally {
    await archive.kill();
    rmSync(directory, { recursive: true, force: true });
  }
}
