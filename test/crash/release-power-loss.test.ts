/**
 * Power loss while a host gets a release: every moment of an upload, a swap and a prune, times the states of
 * the disk that it can leave. Whatever an instance's link points to must be a whole release, the old one or
 * the new one.
 */
import { createHash } from "node:crypto";
import { join } from "node:path";
import { expect, test } from "bun:test";
import { ReleaseStore } from "../../src/cluster/release/store.ts";
import { cut, encodeTable } from "../../src/cluster/release/blocks.ts";
import { readWhole, sha256OfFile } from "../../src/cluster/release/files.ts";
import type { ReleaseManifest } from "../../src/cluster/agent/messages.ts";
import { deploymentPaths, releasePaths } from "../../src/cluster/topology/layout.ts";
import { seededRandom } from "../../src/core/seams/random.ts";
import type { DiskFile, LinkingDisk } from "../../src/core/seams/disk.ts";
import { crashStates } from "../../src/core/sim/disk-crash.ts";
import type { DirectoryNode } from "../../src/core/sim/disk-state.ts";
import { SimDisk } from "../../src/core/sim/disk.ts";
import { Scheduler } from "../../src/core/sim/scheduler.ts";
import { zstdCompressSync } from "node:zlib";
import { keyOf, models } from "./log-harness.ts";

const WORK = "/srv";
const INSTANCE = "p.dht0";
const paths = deploymentPaths(WORK, "p");
const sha256 = (bytes: Uint8Array) => createHash("sha256").update(bytes).digest("hex");

interface Content {
  manifest: ReleaseManifest;
  executable: Uint8Array;
  config: Uint8Array;
}

function contentOf(id: string, seed: number): Content {
  const executable = Buffer.concat([seededRandom(1).bytes(9000), seededRandom(seed).bytes(2000)]);
  const config = Buffer.from(`{"seed": ${seed}}`);
  return {
    executable,
    config,
    manifest: {
      id,
      digest: sha256(executable),
      createdAtMs: seed,
      madeBy: "me",
      version: "1",
      executable: { sha256: sha256(executable), bytes: executable.byteLength },
      files: [{ name: "configs/p.dht0.json", sha256: sha256(config), bytes: config.byteLength }],
      services: [],
    },
  };
}

const OLD = contentOf("old", 10);
const NEW = contentOf("new", 11);
const byId: Record<string, Content> = { old: OLD, new: NEW };

const storeOn = (disk: LinkingDisk) =>
  new ReleaseStore({
    disk,
    paths,
    workingDirectory: WORK,
    run: async () => ({ status: 0, output: "ok" }),
    ownExecutable: undefined,
  });

async function upload(store: ReleaseStore, { executable, manifest, config }: Content): Promise<void> {
  const blocks = cut(executable);
  const digest = manifest.executable.sha256;
  await store.incoming.have(digest, executable.byteLength, encodeTable(blocks));
  // All blocks that are missing: the store says which by its count, here simply tried from the whole list.
  const { missing, bitmap } = await store.incoming.have(digest, executable.byteLength, encodeTable(blocks));
  const wanted = blocks.filter((_, index) => ((bitmap[index >> 3] as number) & (1 << (index & 7))) !== 0);
  const raw = Buffer.concat(wanted.map(({ offset, bytes }) => executable.subarray(offset, offset + bytes)));
  if (missing > 0) {
    const batch = { first: 0, blocks: missing, rawBytes: raw.byteLength };
    await store.incoming.put(digest, batch, zstdCompressSync(raw));
  }
  await store.incoming.finish(digest);
  await store.write(manifest, config);
}

interface Point {
  after: string;
  disk: DirectoryNode;
  /** Releases that the instance may have. */
  allowed: string[];
}

function record(wrap: (disk: LinkingDisk) => LinkingDisk): Point[] {
  const scheduler = new Scheduler(1);
  const sim = new SimDisk(scheduler);
  const store = storeOn(wrap(sim));
  const points: Point[] = [];
  scheduler.run(async () => {
    await upload(store, OLD);
    await store.swap(INSTANCE, "old");
    await store.linkCurrent("old");
    let allowed = ["old"];
    sim.onChange = (operation, path) => {
      if (["read", "size", "list", "exists", "close", "readLink", "space", "lock"].includes(operation))
        return;
      points.push({ after: `${operation} ${path}`, disk: sim.capture(), allowed });
    };
    await upload(store, NEW);
    allowed = ["old", "new"];
    await store.swap(INSTANCE, "new");
    allowed = ["new"];
    points.push({ after: "swap was reported done", disk: sim.capture(), allowed });
    await store.linkCurrent("new");
    await store.prune(1);
  });
  return points;
}

/** What the host finds after power loss: the release of the instance, or what is wrong. */
function find(state: DirectoryNode): string {
  const scheduler = new Scheduler(2);
  const disk = new SimDisk(scheduler);
  disk.restore(state);
  return scheduler.run(async () => {
    const store = storeOn(disk);
    const active = await store.active(INSTANCE);
    if (active === undefined) return "no link";
    const { releases } = await store.list();
    for (const { id } of releases) {
      const wrong = await whyNotWhole(disk, byId[id] as Content);
      if (wrong !== undefined) return `${id} is listed, but ${wrong}`;
    }
    if (!releases.some(({ id }) => id === active)) return `the link points to ${active}, which is not there`;
    const current = await store.current();
    if (!releases.some(({ id }) => id === current)) return `current is ${current}, which is not there`;
    return active;
  });
}

async function whyNotWhole(disk: SimDisk, { manifest, config }: Content): Promise<string | undefined> {
  const directory = join(paths.releases, manifest.id);
  const { executable } = releasePaths(directory);
  if (!(await disk.exists(executable))) return "its executable is missing";
  if ((await sha256OfFile(disk, executable)) !== manifest.executable.sha256)
    return "its executable is damaged";
  const path = join(directory, "configs/p.dht0.json");
  if (!(await disk.exists(path))) return "a file is missing";
  return sha256(await readWhole(disk, path, 1 << 20)) === sha256(config) ? undefined : "a file is damaged";
}

function explore(wrap: (disk: LinkingDisk) => LinkingDisk, limit: number) {
  const findings = new Map<string, string>();
  const violations: string[] = [];
  let states = 0;
  for (const { after, disk, allowed } of record(wrap)) {
    for (const model of models) {
      crashStates(disk, model, limit, (state) => {
        states += 1;
        const key = keyOf(state);
        const found = findings.get(key) ?? find(state);
        findings.set(key, found);
        if (!allowed.includes(found)) violations.push(`after ${after} (${model.names}): ${found}`);
      });
    }
  }
  return { states, distinct: findings.size, violations };
}

test("power loss at any moment leaves the instance with a whole release, the old one or the new one", () => {
  const { states, distinct, violations } = explore((disk) => disk, 60);
  expect(violations.slice(0, 3)).toEqual([]);
  expect(states).toBeGreaterThan(1000);
  expect(distinct).toBeGreaterThan(100);
}, 120_000);

// --- negative controls: the same code on a disk that keeps one promise less

const methodsOf = (disk: LinkingDisk): LinkingDisk =>
  new Proxy(disk, {
    get: (target, name) => {
      const value = Reflect.get(target, name) as unknown;
      return typeof value === "function" ? (value as () => unknown).bind(target) : value;
    },
  });

function changed(disk: LinkingDisk, change: Partial<LinkingDisk>): LinkingDisk {
  return Object.assign(Object.create(methodsOf(disk)) as LinkingDisk, change);
}

const lies: Record<string, (disk: LinkingDisk) => LinkingDisk> = {
  "directories are not synced": (disk) => changed(disk, { syncDirectory: async () => undefined }),
  "files are not synced": (disk) =>
    changed(disk, {
      async open(path, mode) {
        const file = await disk.open(path, mode);
        return Object.assign(Object.create(file) as DiskFile, {
          read: file.read,
          write: file.write,
          truncate: file.truncate,
          size: file.size,
          close: file.close,
          sync: async () => undefined,
        });
      },
    }),
};

test.each(Object.entries(lies))(
  "(control) a host where %s is found out",
  (_, lie) => {
    expect(explore(lie, 40).violations).not.toEqual([]);
  },
  120_000,
);
