/**
 * A Debian guest with real systemd, emulated in software: the one place where units are booted, watched and
 * rebooted for real.
 *
 * Invariant: the image is made from the machine's own package sources without a boot loader or a mount, needs
 * root for debootstrap only, and holds nothing of node-x: that comes by ssh. The guest ends with the
 * `QemuGuest` that a test holds.
 */
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { ensurePrograms } from "../../build.ts";
import { freePort } from "./free-ports.ts";

const PACKAGES = "systemd-sysv,dbus,openssh-server,linux-image-cloud-amd64,iproute2,udev";
const RELEASE = "bookworm";

function run(words: string[]): string {
  const { exitCode, stdout, stderr } = Bun.spawnSync(words);
  if (exitCode !== 0) throw new Error(`${words.join(" ")}: ${stderr.toString().slice(-2000)}`);
  return stdout.toString();
}

/** Where this machine's apt gets Debian from. */
function debianMirror(): string {
  const lines = run([
    "apt-get",
    "indextargets",
    "--format",
    "$(REPO_URI) $(RELEASE)",
    "Created-By: Packages",
  ]);
  const mirror = lines
    .split("\n")
    .find((line) => line.endsWith(` ${RELEASE}`))
    ?.split(" ")[0];
  if (mirror === undefined) throw new Error(`apt knows no source of ${RELEASE}`);
  return mirror;
}

/** Makes kernel, initrd and a root file system in `place`, once; minutes. */
export async function ensureImage(
  place: string,
  publicKey: string,
  morePackages: readonly string[] = [],
): Promise<void> {
  await ensurePrograms([
    { program: "qemu-system-x86_64", package: "qemu-system-x86" },
    { program: "debootstrap", package: "debootstrap" },
    { program: "mke2fs", package: "e2fsprogs" },
  ]);
  const root = join(place, "root");
  if (!existsSync(join(place, "complete"))) {
    rmSync(root, { recursive: true, force: true });
    mkdirSync(place, { recursive: true });
    run([
      "debootstrap",
      "--variant=minbase",
      `--include=${[PACKAGES, ...morePackages].join(",")}`,
      RELEASE,
      root,
      debianMirror(),
    ]);
    writeFileSync(join(place, "complete"), "");
  }
  for (const kind of ["vmlinuz", "initrd.img"]) {
    const name = readdirSync(join(root, "boot")).find((candidate) => candidate.startsWith(kind)) as string;
    copyFileSync(join(root, "boot", name), join(place, kind));
  }
  mkdirSync(join(root, "root/.ssh"), { recursive: true, mode: 0o700 });
  writeFileSync(join(root, "root/.ssh/authorized_keys"), publicKey);
  writeFileSync(join(root, "etc/systemd/network/10.network"), "[Match]\nName=eth0\n[Network]\nDHCP=yes\n");
  writeFileSync(join(root, "etc/hostname"), "guest\n");
  writeFileSync(join(root, "etc/fstab"), "/dev/vda / ext4 rw 0 1\n");
  const wants = join(root, "etc/systemd/system/multi-user.target.wants");
  mkdirSync(wants, { recursive: true });
  run(["ln", "-sf", "/lib/systemd/system/systemd-networkd.service", wants]);
  rmSync(join(place, "disk.img"), { force: true });
  run(["mke2fs", "-q", "-t", "ext4", "-d", root, join(place, "disk.img"), "3G"]);
}

export class QemuGuest implements Disposable {
  readonly #place: string;
  sshPort = 0;
  /** Of the guest's port 10200. */
  respPort = 0;
  #child: Bun.Subprocess | undefined;

  constructor(place: string) {
    this.#place = place;
  }

  get hostKeyFile(): string {
    return join(this.#place, "root/etc/ssh/ssh_host_ed25519_key.pub");
  }

  /** What the guest said on its console. */
  console(): string {
    return readFileSync(join(this.#place, "console.log"), "utf8");
  }

  /** Boots, or boots again with what is on the disk; `-no-reboot`: a reboot ends the emulator. */
  async boot(): Promise<void> {
    if (this.sshPort === 0) {
      this.sshPort = await freePort("127.0.0.1");
      this.respPort = await freePort("127.0.0.1");
    }
    const forward = [`tcp:127.0.0.1:${this.sshPort}-:22`, `tcp:127.0.0.1:${this.respPort}-:10200`];
    const words = [
      "qemu-system-x86_64",
      ...["-accel", "tcg,thread=multi", "-cpu", "max", "-smp", "2", "-m", "1500"],
      ...["-nographic", "-no-reboot", "-kernel", join(this.#place, "vmlinuz")],
      ...["-initrd", join(this.#place, "initrd.img")],
      ...["-append", "root=/dev/vda rw console=ttyS0 net.ifnames=0"],
      ...["-drive", `file=${join(this.#place, "disk.img")},format=raw,if=virtio,cache=unsafe`],
      ...["-netdev", `user,id=n,${forward.map((rule) => `hostfwd=${rule}`).join(",")}`],
      ...["-device", "virtio-net-pci,netdev=n"],
    ];
    this.#child = Bun.spawn(words, {
      stdin: "ignore",
      stdout: Bun.file(join(this.#place, "console.log")),
      stderr: "inherit",
    });
  }

  /** Resolves when the emulator has ended: after a reboot or power-off of the guest. */
  get ended(): Promise<number> {
    return this.#child?.exited ?? Promise.resolve(0);
  }

  [Symbol.dispose](): void {
    this.#child?.kill("SIGKILL");
  }
}
