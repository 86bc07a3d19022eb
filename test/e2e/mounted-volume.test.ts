/**
 * A file system of this host on a volume: the executable serves it, nbdfuse makes it a file, a loop device a disk, ext4 is
 * mounted on it and worked on. A process must not mount what it serves itself: the kernel would wait for it.
 *
 * A snapshot that is taken while files are written must be an ext4 that its own journal makes whole, with every file in it
 * that was synced before; and so must the volume be, after kill -9 of the server under the mounted file system.
 */
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { existsSync, mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ensurePrograms } from "../../build.ts";
import { VOLUME } from "../backup/servers.ts";
import { ProcessGroup } from "./backup-processes.ts";
import { until } from "./executable.ts";

setDefaultTimeout(300_000);
/** A busy machine's disk takes its time for each file that is synced. */
const LIMIT_MS = 120_000;
/** Files that are kept: more than are written while anything is looked at. */
const FILES = 3000;
const directory = mkdtempSync(join(tmpdir(), "node-x-mounted-"));
afterAll(() => rmSync(directory, { recursive: true, force: true }));

/** Runs a program; not in step with this process, so that nothing here waits for the mounted file system. */
async function run(...words: string[]): Promise<{ code: number; stdout: string; output: string }> {
  const child = Bun.spawn(words, { stdin: "ignore", stdout: "pipe", stderr: "pipe" });
  const [stdout, stderr] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
  ]);
  return { code: await child.exited, stdout, output: stdout + stderr };
}

async function demand(...words: string[]): Promise<string> {
  const { code, output } = await run(...words);
  if (code !== 0) throw new Error(`${words.join(" ")}: ${output}`);
  return output.trim();
}

/** Whether this machine lets us have loop devices and mounts. */
async function canMount(): Promise<boolean> {
  if (!existsSync("/dev/fuse") || process.getuid?.() !== 0) return false;
  const image = join(directory, "try.img");
  await demand("truncate", "-s", "4M", image);
  const { code, output } = await run("losetup", "--find", "--show", image);
  if (code !== 0) return false;
  const mount = join(directory, "try");
  mkdirSync(mount);
  await run("mke2fs", "-q", "-t", "ext4", output.trim());
  const isMounted = (await run("mount", output.trim(), mount)).code === 0;
  await run("umount", mount);
  await run("losetup", "--detach", output.trim());
  return isMounted;
}

let isPossible = false;
beforeAll(async () => {
  await ensurePrograms([
    { program: "nbdfuse", package: "libnbd-bin" },
    { program: "mke2fs", package: "e2fsprogs" },
    { program: "fusermount3", package: "fuse3" },
  ]);
  isPossible = await canMount();
});

/** A volume as a disk of this host, mounted; ended in the order in which the kernel lets go. */
class Mounted implements AsyncDisposable {
  readonly mount = join(directory, "mount");
  readonly #fuse = join(directory, "fuse");
  #loop = "";
  #child: Bun.Subprocess | undefined;

  async open(uri: string): Promise<void> {
    for (const path of [this.mount, this.#fuse]) mkdirSync(path, { recursive: true });
    this.#child = Bun.spawn(["nbdfuse", this.#fuse, uri], { stdout: "ignore", stderr: "ignore" });
    const file = join(this.#fuse, "nbd");
    await until(
      "the file of nbdfuse",
      async () => ((await run("test", "-f", file)).code === 0 ? true : undefined),
      LIMIT_MS,
    );
    this.#loop = await demand("losetup", "--find", "--show", file);
  }

  get device(): string {
    return this.#loop;
  }

  async mountIt(): Promise<void> {
    await demand("mount", "-t", "ext4", this.#loop, this.mount);
  }

  async close(): Promise<void> {
    await run("umount", "--lazy", this.mount);
    if (this.#loop !== "") await run("losetup", "--detach", this.#loop);
    await run("fusermount3", "-u", "-z", this.#fuse);
    this.#child?.kill("SIGKILL");
    await this.#child?.exited;
    this.#child = undefined;
    this.#loop = "";
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}

test("an ext4 that is mounted and worked on: a snapshot of it is whole, and so is the volume after kill -9", async () => {
  if (!isPossible) return;
  await using group = new ProcessGroup(directory, { mib: 64, logMib: 128, storageKeys: { shipDelayMs: 50 } });
  await group.start();
  await using mounted = new Mounted();
  await mounted.open(group.uri);
  await demand("mke2fs", "-q", "-t", "ext4", mounted.device);
  await mounted.mountIt();
  await group.fullBackup();
  // The workload is another process, which may be stuck in the kernel when the server dies.
  const script = join(directory, "work.sh");
  await Bun.write(
    script,
    `cd "$1"; i=0; while :; do yes "$i" | head -c $((8000 + i % 100 * 37)) > file$i && sync file$i && echo $i; i=$((i + 1)); [ $i -gt ${FILES} ] && rm -f file$((i - ${FILES})); done`,
  );
  const worker = Bun.spawn(["sh", script, mounted.mount], {
    stdin: "ignore",
    stdout: "pipe",
    stderr: "ignore",
  });
  using _ended = { [Symbol.dispose]: () => worker.kill("SIGKILL") };
  const synced: number[] = [];
  const following = (async () => {
    const decoder = new TextDecoder();
    for await (const chunk of worker.stdout)
      for (const line of decoder.decode(chunk).trim().split("\n")) synced.push(Number(line));
  })();
  await until("some files", () => (synced.length > 30 ? true : undefined), LIMIT_MS);
  const last = synced.at(-1) as number;
  const gid = await group.storage.controller.snapshot(VOLUME);
  await group.untilRestorable(gid);
  await group.archive.controller.command("restore", [VOLUME, String(gid)], "accept");
  const isRestored = async () =>
    ((await group.archive.controller.get("restored", VOLUME)) as string[]).includes(String(gid))
      ? true
      : undefined;
  await until("the restore", isRestored, LIMIT_MS);
  const restored = join(group.archive.directory, "data/archive", VOLUME, `wr_${VOLUME}_${gid}`);
  await demandWhole(restored, last);
  await until("more files", () => (synced.length > 60 ? true : undefined), LIMIT_MS);
  const atKill = synced.at(-1) as number;
  await group.storage.kill();
  worker.kill("SIGKILL");
  await mounted.close();
  await following.catch(() => undefined);
  await group.storage.start();
  const image = join(directory, "after.img");
  await demand("nbdcopy", group.uri, image);
  await demandWhole(image, atKill);
});

/** The image is an ext4 that its journal makes whole, and has what was synced into the last files. */
async function demandWhole(image: string, last: number): Promise<void> {
  // 1: mended from the journal, which is what a mount would do.
  const { code, output } = await run("e2fsck", "-f", "-p", image);
  expect({ code: code & ~1, output }).toMatchObject({ code: 0 });
  expect((await run("e2fsck", "-f", "-n", image)).code).toBe(0);
  for (let index = last - 5; index <= last; index++) {
    const { stdout: content } = await run("debugfs", "-R", `cat file${index}`, image);
    const wanted = `${index}\n`
      .repeat(Math.ceil((8000 + (index % 100) * 37) / `${index}\n`.length))
      .slice(0, 8000 + (index % 100) * 37);
    expect(content === wanted).toBe(true);
  }
}
