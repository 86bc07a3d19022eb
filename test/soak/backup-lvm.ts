/**
 * `bun run soak backup-lvm [directory [linear|thin]]`: an archive over real LVM, linear and thin, in a QEMU guest; the storage's side runs
 * here. Every image that LVM then has is compared with what the volume was, also after kill -9 of the archive, and clearing
 * the volume leaves nothing. A flipped bit of a base is found by its checksums. The guest's image is kept in `directory` (dist/qemu-lvm) for the next time.
 */
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { ensureExecutable } from "../../build.ts";
import { realWorld } from "../../src/core/seams/world-real.ts";
import { isState, settled } from "../backup/group.ts";
import { imageHash } from "../backup/hash.ts";
import { controllerOf, type Running, TestStorage, VOLUME } from "../backup/servers.ts";
import { GuestShell } from "../e2e/guest-shell.ts";
import { executable } from "../e2e/node-process.ts";
import { ensureImage, QemuGuest } from "../e2e/qemu-guest.ts";
import type { Soak } from "./run.ts";

/** The guest's port that QemuGuest forwards. */
const PORT = 10200;
const BLOCKS = 16_384;
/** Of a peer's silence: LVM's commands take seconds under emulation. */
const SILENCE_S = 600;
/** By its name alone: its words are those of the shell that runs this, too. */
const END = "pkill -x walb-archive";
const sha = (bytes: Uint8Array) => createHash("sha256").update(bytes).digest("hex");

type Kind = "linear" | "thin";

async function startArchive(shell: GuestShell, kind: string): Promise<void> {
  const own = kind === "thin" ? "-tp tp0" : "";
  const words = `-p ${PORT} -b /root/${kind} -id a0 -l a0.log -discard zero -maxconn 50 -fg 10 -to ${SILENCE_S} -vg vg0 ${own}`;
  await shell.demand(
    `mkdir -p /root/${kind}; NODE_X_WALB_HOST=0.0.0.0 nohup /root/walb-archive ${words} >/dev/null 2>&1 &`,
  );
  await shell.untilGuest("the archive", `ss -Hltn sport = :${PORT}`, (answer) => answer !== "");
}

/** `walb verify` reads every image that has checksums, and finds a flipped bit of the base. */
async function demandSums(shell: GuestShell, kind: Kind): Promise<void> {
  const verify = () => shell.demand(`/root/node-x walb verify /root/${kind} -vg vg0 2>&1; echo "code $?"`);
  const base = `/dev/vg0/wb_${VOLUME}`;
  const flip = `perl -e 'open F,"+<","${base}"; seek F,700000,0; read F,$b,1; seek F,700000,0; print F chr(ord($b)^4)'`;
  const demand = async (wanted: RegExp) => {
    const answer = await verify();
    if (!wanted.test(answer)) throw new Error(`${kind}: verify says ${answer}`);
  };
  await demand(/, 0 damaged\ncode 0$/);
  await shell.demand(`${flip}; sync`);
  await demand(new RegExp(`damaged: ${base}: .*code 65$`, "s"));
  await shell.demand(`${flip}; sync`);
  await demand(/, 0 damaged\ncode 0$/);
}

async function runKind(shell: GuestShell, port: number, kind: Kind): Promise<number> {
  const world = realWorld();
  const archive = { controller: controllerOf(world, "127.0.0.1", port, SILENCE_S * 1000), port } as Running;
  const { controller } = archive;
  await startArchive(shell, kind);
  const address = { host: "127.0.0.1", port };
  const storage = new TestStorage(world, BLOCKS, SILENCE_S * 1000);
  storage.write(100);
  await controller.command("init-vol", [VOLUME], "ok");
  await storage.fullSync(address);
  const images = new Map<bigint, Buffer>();
  for (let index = 0; index < 5; index++) {
    storage.write(30);
    const shipment = storage.snapshot();
    if ((await storage.shipAsProxy(address, shipment)) !== "accept") throw new Error("a diff was refused");
    images.set(shipment.diff.to.begin, Buffer.from(storage.image));
  }
  let compared = 0;
  const compare = async (gid: bigint) => {
    await controller.command("restore", [VOLUME, String(gid)], "accept");
    await settled(archive, "Restore");
    const image = images.get(gid) as Buffer;
    const restored = `/dev/vg0/wr_${VOLUME}_${gid}`;
    await shell.demand(`test -b ${restored}`);
    const got = await shell.demand(`head -c ${image.byteLength} ${restored} | sha256sum`);
    if (got.split(" ")[0] !== sha(image)) throw new Error(`${kind}: the image at ${gid} is another`);
    const hash = await controller.blockHash([VOLUME, String(gid), "64K", String(image.byteLength)]);
    if (Buffer.from(hash).toString("hex") !== imageHash(image, 65536))
      throw new Error(`${kind}: bhash at ${gid}`);
    compared += 1;
  };
  await compare(2n);
  await compare(3n);
  await demandSums(shell, kind);
  await controller.command("apply", [VOLUME, "3"], "accept");
  await settled(archive, "Apply");
  await shell.demand(`${END} --signal KILL; sleep 1`);
  await startArchive(shell, kind);
  await compare(4n);
  // LVM grows no volume that has classic snapshots.
  for (const gid of ["2", "3", "4"]) await controller.command("del-restored", [VOLUME, gid], "ok");
  await controller.command("resize", [VOLUME, String(2 * BLOCKS * 512), "zeroclear"], "ok");
  await settled(archive, "Resize");
  storage.image = Buffer.concat([storage.image, Buffer.alloc(BLOCKS * 512)]);
  storage.write(30);
  await storage.hashSync(address);
  const last = storage.snapshot();
  if ((await storage.shipAsProxy(address, last)) !== "accept") throw new Error("a diff was refused");
  images.set(last.diff.to.begin, Buffer.from(storage.image));
  await compare(last.diff.to.begin);
  await demandSums(shell, kind);
  await controller.command("stop", [VOLUME], "accept");
  await isState(archive, "Stopped");
  await controller.command("clear-vol", [VOLUME], "ok");
  const left = await shell.demand("lvs --noheadings -o lv_name vg0");
  if (/w[bcr]_/.test(left)) throw new Error(`${kind}: left behind: ${left}`);
  await shell.demand(`${END}; sleep 5`);
  return compared;
}

async function runGuest(place: string, kinds: readonly Kind[]): Promise<Record<string, unknown>> {
  await ensureExecutable();
  using guest = new QemuGuest(place);
  using shell = new GuestShell(guest);
  const packages = ["lvm2", "dmsetup", "thin-provisioning-tools", "procps"];
  await ensureImage(place, readFileSync(`${shell.client.key}.pub`, "utf8"), packages);
  await guest.boot();
  shell.trustGuest();
  await shell.untilGuest("the boot", "systemctl is-system-running", (state) =>
    /running|degraded/.test(state),
  );
  await shell.copyIn(executable, "/root/walb-archive");
  await shell.demand("ln -s walb-archive /root/node-x");
  for (const line of [
    "truncate -s 700M /root/pv.img && losetup /dev/loop0 /root/pv.img",
    "modprobe -a dm-snapshot dm-thin-pool",
    "vgcreate -y vg0 /dev/loop0",
    "lvcreate -y --type thin-pool -L 300M -n tp0 vg0",
  ])
    await shell.demand(line);
  const figures: Record<string, unknown> = {};
  for (const kind of kinds) {
    figures[kind] = await runKind(shell, guest.respPort, kind);
    console.log(`${kind}: ${figures[kind]} images compared`);
  }
  return figures;
}

export const soak: Soak = {
  summary: "an archive over real LVM and a thin pool in a QEMU guest: [directory [linear|thin]]",
  run([place = join(import.meta.dir, "../../dist/qemu-lvm"), only]) {
    return runGuest(place, only === "linear" || only === "thin" ? [only] : ["linear", "thin"]);
  },
};
