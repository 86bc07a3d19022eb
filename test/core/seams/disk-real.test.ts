import { afterAll, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { RealDisk } from "../../../src/core/seams/disk-real.ts";
import type { NxError } from "../../../src/core/errors.ts";
import { lockFile, punchHole } from "../../../src/native/system.ts";

const root = mkdtempSync(join(tmpdir(), "node-x-disk-real-"));
afterAll(() => rmSync(root, { recursive: true }));

const disk = new RealDisk(lockFile, { punchHole });
const caught = (promise: Promise<unknown>) =>
  promise.then(
    () => undefined,
    (error: NxError) => error,
  );

test("a full disk is told from a failing one, with path, reason and what to do", async () => {
  const file = await disk.open("/dev/full", "readWrite");
  const error = await caught(file.write(new Uint8Array(10), 0));
  await file.close();
  expect(error?.code).toBe("NX_DISK_FULL");
  expect(error?.message).toBe("cannot write /dev/full: the disk is full (ENOSPC)");
  expect(error?.hint).toContain("free space");
});

test("what is neither full nor missing is a failed disk, with path and reason", async () => {
  const error = await caught(disk.open(root, "readWrite"));
  expect(error?.code).toBe("NX_DISK_FAILED");
  expect(error?.message).toBe(`cannot open ${root}: EISDIR`);
});

test("a part whose space is given back reads as zeros, and the rest stays", async () => {
  const file = await disk.open(join(root, "hole"), "create");
  await file.write(new Uint8Array(1 << 20).fill(7), 0);
  if ((await file.punch?.(4096, 8192)) === true) {
    const read = new Uint8Array(1 << 20);
    await file.read(read, 0);
    expect(read.subarray(4096, 12288).every((byte) => byte === 0)).toBe(true);
    expect([read[4095], read[12288], await file.size()]).toEqual([7, 7, 1 << 20]);
  }
  expect(await file.punch?.(-1, 10)).toBe(false);
  await file.close();
});

test("a clone has the same content, or is refused where the file system cannot", async () => {
  const [from, to] = [join(root, "cloned"), join(root, "clone")];
  await Bun.write(from, "content");
  const isCloned = await disk.clone?.(from, to);
  expect(await disk.exists(to)).toBe(isCloned === true);
  if (isCloned) expect(await Bun.file(to).text()).toBe("content");
  expect((await caught(Promise.resolve(disk.clone?.(join(root, "missing"), to))))?.message).toContain(
    "ENOENT",
  );
});

test("a pid file is locked as programs lock it that know no flock, and names its owner", async () => {
  const path = join(root, "node.pid");
  const locked = "import fcntl,sys\nf=open(sys.argv[1],'r+')\nfcntl.lockf(f,fcntl.LOCK_EX|fcntl.LOCK_NB)";
  const tryLock = () => Bun.spawnSync(["python3", "-c", locked, path], { stderr: "ignore" }).exitCode;
  const lock = await disk.lock(path, true);
  expect(await Bun.file(path).text()).toBe(`${process.pid}\n`);
  expect(tryLock()).toBe(1);
  const error = await caught(disk.lock(path, true));
  expect([error?.code, error?.message]).toEqual([
    "NX_DATA_DIR_LOCKED",
    `the pid file ${path} is locked by process ${process.pid}`,
  ]);
  await lock.release();
  expect(await disk.exists(path)).toBe(false);
  // The control: a lock of the other kind is not seen by such a program.
  const flocked = await disk.lock(path);
  expect(tryLock()).toBe(0);
  await flocked.release();
});

test("a held lock is refused with its owner's pid, and free again once the owner was killed", async () => {
  const path = join(root, "lock");
  const holder = `
    const { RealDisk } = await import(${JSON.stringify(join(import.meta.dir, "../../../src/core/seams/disk-real.ts"))});
    const { lockFile } = await import(${JSON.stringify(join(import.meta.dir, "../../../src/native/system.ts"))});
    await new RealDisk(lockFile).lock(${JSON.stringify(path)});
    console.log("held");
    setInterval(() => undefined, 1000);
  `;
  const child = Bun.spawn([process.execPath, "-e", holder], {
    stdin: "ignore",
    stdout: "pipe",
    stderr: "inherit",
  });
  const { value } = await child.stdout.getReader().read();
  expect(new TextDecoder().decode(value)).toBe("held\n");
  const error = await caught(disk.lock(path));
  expect(error?.code).toBe("NX_DATA_DIR_LOCKED");
  expect(error?.message).toContain(`process ${child.pid}`);
  child.kill("SIGKILL");
  await child.exited;
  const lock = await disk.lock(path);
  await lock.release();
  expect(await disk.exists(path)).toBe(false);
});
