/**
 * `node-x walb demo`: the whole story in one command. A volume, a file system on it, its backup, damage, the restore to a
 * point in time, and the proof that it is the same.
 *
 * Everything runs in this process and in a directory of its own, which goes afterwards: an archive, a proxy and a storage as
 * `node-x run` starts them, on free ports.
 */
import { createHash } from "node:crypto";
import { join } from "node:path";
import { loadConfig, type SchemaCatalog } from "../../core/config/load.ts";
import { NxError } from "../../core/errors.ts";
import { Instance } from "../../core/kernel/instance.ts";
import { logOutput } from "../../core/logging/log.ts";
import { sleep } from "../../core/seams/clock.ts";
import { realWorld } from "../../core/seams/world-real.ts";
import type { Role, World } from "../../core/role.ts";
import { type Call, defineVerb } from "../../core/verb.ts";
import { Controller } from "../client/controller.ts";
import { snappy } from "../formats/compression.ts";
import { NbdClient } from "../nbd/client.ts";

const VOLUME = "demo";
const BYTES = 32 << 20;
const MIB = 1 << 20;
const POLL_MS = 20;
const WAIT_MS = 60_000;

async function roles(): Promise<Role[]> {
  const [{ archive }, { proxy }, { storage }] = await Promise.all([
    import("../archive/role.ts"),
    import("../proxy/role.ts"),
    import("../storage/role.ts"),
  ]);
  return [archive, proxy, storage];
}

/** The servers of the demonstration. */
class Demo {
  readonly world: World;
  readonly #directory: string;
  readonly #instances: Instance[] = [];
  readonly #roles = new Map<string, Role>();

  constructor(world: World, directory: string) {
    this.world = world;
    this.#directory = directory;
  }

  async start(
    role: string,
    keys: Record<string, unknown>,
  ): Promise<{ controller: Controller; ports: Record<string, number> }> {
    if (this.#roles.size === 0) for (const each of await roles()) this.#roles.set(each.name, each);
    const catalog: SchemaCatalog = {
      names: [...this.#roles.keys()],
      schemaOf: async (name) => (this.#roles.get(name) as Role).config,
    };
    const text = JSON.stringify({
      role,
      instance: `${role}0`,
      dataDir: join(this.#directory, role),
      port: 0,
      ...keys,
    });
    const sources = {
      file: `${role} of the demonstration`,
      text,
      role,
      environment: {},
      sets: [],
      workingDirectory: "/",
    };
    const loaded = await loadConfig(sources, catalog);
    const instance = await Instance.start(this.#roles.get(role) as Role, loaded, {
      world: this.world,
      logOutput: logOutput("error", []),
      onFatal: (error) => {
        throw error;
      },
    });
    this.#instances.push(instance);
    const { ports } = instance;
    const { net, clock } = this.world;
    const at = { host: "127.0.0.1", port: ports.port as number };
    return { controller: new Controller({ net, clock, ...at, clientId: "demo", timeoutMs: 10_000 }), ports };
  }

  async until(what: string, isSo: () => Promise<boolean>): Promise<void> {
    const { clock } = this.world;
    const deadlineMs = clock.monotonicMs() + WAIT_MS;
    while (!(await isSo())) {
      if (clock.monotonicMs() > deadlineMs) throw new NxError("NX_NOT_READY", `not within a minute: ${what}`);
      await sleep(clock, POLL_MS);
    }
  }

  async stop(): Promise<void> {
    for (const instance of this.#instances.toReversed()) await instance.stop();
  }
}

const sha256 = (bytes: Uint8Array) => createHash("sha256").update(bytes).digest("hex").slice(0, 16);

async function run(command: string[]): Promise<boolean> {
  const child = Bun.spawn(command, { stdin: "ignore", stdout: "ignore", stderr: "ignore" });
  return (await child.exited) === 0;
}

/** The image of a file system with files in it, or a pattern where there is no mke2fs. */
async function firstImage(directory: string, world: World): Promise<{ image: Uint8Array; what: string }> {
  const image = new Uint8Array(BYTES);
  for (let block = 0; block < BYTES; block += MIB) image.fill(block / MIB + 1, block, block + MIB / 4);
  const mke2fs = Bun.which("mke2fs", { PATH: `${process.env.PATH ?? ""}:/usr/sbin:/sbin` });
  if (mke2fs === null) return { image, what: "a pattern (mke2fs is not installed)" };
  const { disk } = world;
  const tree = join(directory, "tree");
  await disk.makeDirectory(tree);
  for (let index = 0; index < 40; index++) {
    const file = await disk.open(join(tree, `report-${index}.txt`), "create");
    await file.write(Buffer.from(`the figures of day ${index}\n`.repeat(2000)), 0);
    await file.close();
  }
  const path = join(directory, "ext4.img");
  const file = await disk.open(path, "create");
  try {
    await file.truncate(BYTES);
    if (!(await run([mke2fs, "-q", "-F", "-t", "ext4", "-d", tree, path])))
      return { image, what: "a pattern (mke2fs failed)" };
    await file.read(image, 0);
    return { image, what: "an ext4 file system with 40 files" };
  } finally {
    await file.close();
  }
}

/** Whether the file system checker finds the image clean; undefined without one. */
async function isClean(path: string): Promise<boolean | undefined> {
  const e2fsck = Bun.which("e2fsck", { PATH: `${process.env.PATH ?? ""}:/usr/sbin:/sbin` });
  return e2fsck === null ? undefined : await run([e2fsck, "-f", "-n", path]);
}

async function tell(call: Call, demo: Demo, directory: string): Promise<number> {
  const { stdout } = call;
  const startedMs = demo.world.clock.monotonicMs();
  const say = (text: string) => {
    const seconds = ((demo.world.clock.monotonicMs() - startedMs) / 1000).toFixed(2).padStart(6);
    stdout.write(`${seconds} s  ${text}\n`);
  };
  const archive = await demo.start("archive", { discard: "zero" });
  const proxy = await demo.start("proxy", {});
  const storage = await demo.start("storage", {
    nbdPort: 0,
    archive: `127.0.0.1:${archive.ports.port}`,
    proxies: [`127.0.0.1:${proxy.ports.port}`],
    shipDelayMs: 50,
  });
  say(`archive, proxy and storage run (NBD on port ${storage.ports.nbdPort})`);
  await storage.controller.volumes(["create", VOLUME, String(BYTES), "16M"]);
  const address = { host: "127.0.0.1", port: storage.ports.nbdPort as number, name: VOLUME };
  await using client = await NbdClient.connect(demo.world, address);
  const { image, what } = await firstImage(directory, demo.world);
  await client.writeAll(image);
  say(`the volume "${VOLUME}" of ${BYTES / MIB} MiB holds ${what}: ${sha256(image)}`);

  await storage.controller.command("init-vol", [VOLUME, VOLUME], "ok");
  await archive.controller.command("init-vol", [VOLUME], "ok");
  const forwarding = {
    archive: { host: "127.0.0.1", port: archive.ports.port as number },
    compression: snappy,
    delaySeconds: 0,
  };
  await proxy.controller.changeForwarding("add", VOLUME, "archive0", forwarding);
  await proxy.controller.command("start", [VOLUME], "ok");
  await storage.controller.command("full-bkp", [VOLUME], "accept");
  await demo.until(
    "the full backup",
    async () => (await storage.controller.get("state", VOLUME)) === "Target",
  );
  const gid = await storage.controller.snapshot(VOLUME);
  say(`backed up in full; a snapshot is point ${gid}`);

  const hasPoint = async () =>
    ((await archive.controller.get("restorable", VOLUME)) as string[]).some((line) =>
      line.startsWith(`${gid} `),
    );
  await demo.until("the snapshot at the archive", hasPoint);
  const garbage = demo.world.random.bytes(MIB);
  for (let at = 0; at < 8; at++) await client.write(garbage, at * 3 * MIB);
  await client.flush();
  say(`8 MiB of garbage were written over it: ${sha256(await client.readAll())}`);
  const later = await storage.controller.snapshot(VOLUME);

  await archive.controller.command("restore", [VOLUME, String(gid)], "accept");
  await demo.until("the restored image", async () =>
    ((await archive.controller.get("restored", VOLUME)) as string[]).includes(String(gid)),
  );
  const path = join(directory, "archive/archive", VOLUME, `wr_${VOLUME}_${gid}`);
  const restored = new Uint8Array(BYTES);
  const file = await demo.world.disk.open(path, "read");
  await file.read(restored, 0);
  await file.close();
  const isSame = Buffer.from(restored).equals(image);
  say(`point ${gid} is restored: ${sha256(restored)}, ${isSame ? "the same" : "ANOTHER IMAGE"}`);
  const clean = what.startsWith("an ext4") ? await isClean(path) : undefined;
  if (clean !== undefined) say(`the file system in it is ${clean ? "clean (e2fsck)" : "DAMAGED (e2fsck)"}`);
  await client.writeAll(restored);
  const isBack = Buffer.from(await client.readAll()).equals(Buffer.from(image));
  say(`it was written back to the volume over NBD: ${isBack ? "the same" : "ANOTHER IMAGE"}`);
  say(`point ${later}, with the garbage, can still be restored, too`);
  return isSame && isBack && clean !== false ? 0 : 1;
}

export const demoVerb = defineVerb({
  name: "demo",
  summary: "Show it all: a volume is backed up, damaged, and restored to a point in time",
  description:
    "Needs nothing that runs, and leaves nothing behind. Exit code 1 when the restored image is another one.",
  examples: [{ command: "node-x walb demo", shows: "See it" }],
  async run(call) {
    const world = realWorld();
    const directory = join(
      call.environment.TMPDIR ?? "/tmp",
      `node-x-demo-${Buffer.from(world.random.bytes(6)).toString("hex")}`,
    );
    await world.disk.makeDirectory(directory);
    const demo = new Demo(world, directory);
    try {
      return await tell(call, demo, directory);
    } finally {
      await demo.stop();
      await run(["rm", "-rf", directory]);
    }
  },
});
