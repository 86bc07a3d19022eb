/** Volumes under other people's clients: libnbd, qemu, fio, a file system in a FUSE file. */
import { beforeAll, describe, expect, test } from "bun:test";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ensurePrograms } from "../../../build.ts";
import { createAuthority, issueCertificate } from "../../../src/core/certificates.ts";
import { seededRandom } from "../../../src/core/seams/random.ts";
import { Group } from "../storage/cluster.ts";
import { ensureNbdClients, run, Served } from "./volumes.ts";

const MIB = 1 << 20;

beforeAll(ensureNbdClients, 300_000);

/** Data between stretches of zeros. */
function image(bytes: number): Buffer {
  const content = Buffer.alloc(bytes);
  const random = seededRandom(5);
  for (let at = 0; at < bytes; at += MIB) content.set(random.bytes(256 << 10), at + 65536);
  return content;
}

function scratch(): Disposable & { path: string } {
  const path = mkdtempSync(join(tmpdir(), "node-x-nbd-"));
  return { path, [Symbol.dispose]: () => rmSync(path, { recursive: true, force: true }) };
}

describe("a volume under libnbd", () => {
  test("nbdinfo sees size, flags and block sizes", async () => {
    await using served = await Served.start();
    const { code, output } = await run(["nbdinfo", "--json", served.uri]);
    expect(code).toBe(0);
    const { exports } = JSON.parse(output.split("\n\n")[0] ?? output) as {
      exports: Record<string, unknown>[];
    };
    expect(exports[0]).toMatchObject({
      "export-name": "vol1",
      "export-size": 16 * MIB,
      contexts: ["base:allocation"],
      is_read_only: false,
      can_flush: true,
      can_fua: true,
      can_trim: true,
      can_zero: true,
      can_multi_conn: true,
      block_size_minimum: 512,
    });
  });

  test("nbdcopy brings an image in and out, more of it than the log holds", async () => {
    using directory = scratch();
    await using served = await Served.start({ bytes: 32 * MIB, logBytes: 2 * MIB });
    const [source, copy] = [join(directory.path, "in"), join(directory.path, "out")];
    const content = image(32 * MIB);
    writeFileSync(source, content);
    expect(await run(["nbdcopy", "--flush", source, served.uri])).toEqual({ code: 0, output: "" });
    expect(await run(["nbdcopy", served.uri, copy])).toEqual({ code: 0, output: "" });
    expect(readFileSync(copy).equals(content)).toBe(true);
    await served.close();
    expect(readFileSync(served.data).equals(content)).toBe(true);
    await served.open();
    expect(served.engine.recovered.packs).toBe(0);
  });

  test("nbdinfo --map tells holes from data, in the log and in the data file", async () => {
    await using served = await Served.start({ physicalBytes: 512 });
    const commands = ["write -P 7 1M 64k", "discard 8M 1M", "flush"].flatMap((each) => ["-c", each]);
    expect((await run(["qemu-io", "-f", "raw", ...commands, served.uri])).code).toBe(0);
    const wanted = [
      [0, MIB, 3],
      [MIB, 65536, 0],
      [MIB + 65536, 15 * MIB - 65536, 3],
    ];
    const map = async () => {
      const { output } = await run(["nbdinfo", "--map", "--json", served.uri]);
      return (JSON.parse(output) as { offset: number; length: number; type: number }[]).map(
        ({ offset, length, type }) => [offset, length, type],
      );
    };
    expect(await map()).toEqual(wanted);
    await served.close();
    await served.open();
    expect(await map()).toEqual(wanted);
  });

  test("TLS is demanded where there is a certificate, and a certified server is believed", async () => {
    using directory = scratch();
    const nowMs = Date.now();
    const authority = await createAuthority("test", 2, nowMs);
    const issued = await issueCertificate(authority, {
      name: "storage0",
      hosts: ["localhost"],
      days: 1,
      nowMs,
    });
    const tls = { cert: issued.certificate, key: issued.key };
    await using served = await Served.start({ server: { tls } });
    expect((await run(["nbdinfo", served.uri])).output).toContain("TLS");
    writeFileSync(join(directory.path, "ca-cert.pem"), authority.certificate);
    const content = image(16 * MIB);
    writeFileSync(join(directory.path, "in"), content);
    const secure = `nbds://localhost:${served.port}/vol1?tls-certificates=${directory.path}`;
    expect(await run(["nbdcopy", join(directory.path, "in"), secure])).toEqual({ code: 0, output: "" });
    expect(await run(["nbdcopy", secure, join(directory.path, "out")])).toEqual({ code: 0, output: "" });
    expect(readFileSync(join(directory.path, "out")).equals(content)).toBe(true);
  }, 120_000);
});

describe("a volume under qemu", () => {
  test("qemu-img converts a qcow2 image in and compares it", async () => {
    using directory = scratch();
    await using served = await Served.start();
    const raw = join(directory.path, "raw");
    const qcow2 = join(directory.path, "qcow2");
    writeFileSync(raw, image(16 * MIB));
    expect((await run(["qemu-img", "convert", "-O", "qcow2", raw, qcow2])).code).toBe(0);
    expect((await run(["qemu-img", "convert", "-n", "-O", "raw", qcow2, served.uri])).code).toBe(0);
    const compared = await run(["qemu-img", "compare", "-f", "qcow2", "-F", "raw", qcow2, served.uri]);
    expect(compared.output).toContain("identical");
  });

  test("qemu-io writes, zeroes, discards and reads back, with FUA and without", async () => {
    await using served = await Served.start({ logBytes: 1 * MIB });
    const commands = [
      "write -P 17 0 4M", "write -f -P 34 512 512", "write -z 1M 1M", "discard 2M 512k", "read -P 17 0 512",
      "read -P 34 512 512", "read -P 17 1024 1047552", "read -P 0 1M 1M", "read -P 0 2M 512k", "read -P 17 2621440 1M",
      "flush", "read -P 34 512 512",
    ]; // prettier-ignore
    const { code, output } = await run([
      "qemu-io",
      "-f",
      "raw",
      ...commands.flatMap((each) => ["-c", each]),
      served.uri,
    ]);
    expect(output).not.toContain("failed");
    expect(code).toBe(0);
  });
});

test("a volume grows under its clients: who connects then sees it, who was there goes on; it never shrinks", async () => {
  await using group = await Group.start();
  const { controller } = group.storage;
  const size = async () =>
    (await run(["nbdinfo", "--size", `nbd://127.0.0.1:${group.storage.nbdPort}/vol1`])).output;
  await using client = await group.client();
  const before = client.bytes;
  const data = Buffer.alloc(4096, 5);
  await client.write(data, before - 4096);
  await expect(client.write(data, before)).rejects.toThrow();
  await controller.volumes(["resize", "vol1", String(2 * before)]);
  expect(await size()).toBe(`${2 * before}\n`);
  expect(client.bytes).toBe(before);
  // NBD has no word for it, so the client knows nothing; the server takes what lies in the new part.
  await client.write(data, before);
  await client.write(data, 2 * before - 4096);
  await using later = await group.client();
  const image = await later.readAll();
  const written = [before - 4096, before, 2 * before - 4096];
  for (const offset of written) expect(image.subarray(offset, offset + 4096).equals(data)).toBe(true);
  expect(image.filter((byte) => byte !== 0)).toHaveLength(written.length * 4096);
  await expect(controller.volumes(["resize", "vol1", String(before)])).rejects.toThrow("a volume only grows");
  await client.write(data, 0);
  expect(await size()).toBe(`${2 * before}\n`);
});

describe("a volume under fio", () => {
  test("what fio wrote at random with flushes reads back with its checksums", async () => {
    await using served = await Served.start({ logBytes: 4 * MIB });
    const job = [
      "fio", "--name=verify", "--ioengine=nbd", `--uri=${served.uri}`, "--rw=randwrite", "--bs=4k", "--size=16m",
      "--iodepth=16", "--fsync=64", "--verify=crc32c", "--do_verify=1", "--verify_fatal=1", "--verify_state_save=0", "--output-format=terse",
    ]; // prettier-ignore
    const { code, output } = await run(job);
    expect(output).not.toContain("verify:");
    expect(code).toBe(0);
    const { failure, writes, reads, flushes } = served.engine.figures();
    expect(failure).toBeUndefined();
    // fio ends with 0 when it could not connect, too.
    expect([writes, reads].map((count) => count >= 4096)).toEqual([true, true]);
    expect(flushes).toBeGreaterThan(30);
  }, 120_000);
});

test.skipIf(!existsSync("/dev/fuse"))(
  "an ext4 in a file of nbdfuse is clean after a workload",
  async () => {
    await ensurePrograms([
      { program: "nbdfuse", package: "libnbd-bin" },
      { program: "mke2fs", package: "e2fsprogs" },
      { program: "fusermount3", package: "fuse3" },
    ]);
    using directory = scratch();
    await using served = await Served.start();
    const mount = join(directory.path, "mount");
    mkdirSync(mount);
    const fuse = Bun.spawn(["nbdfuse", mount, served.uri], { stdout: "ignore", stderr: "ignore" });
    const file = join(mount, "nbd");
    try {
      for (let tries = 0; !existsSync(file) && tries < 500; tries++) await Bun.sleep(10);
      const tree = join(directory.path, "tree");
      mkdirSync(tree);
      for (let index = 0; index < 50; index++)
        writeFileSync(join(tree, `file${index}`), `${index}`.repeat(5000));
      expect((await run(["mke2fs", "-q", "-F", "-t", "ext4", "-d", tree, file])).code).toBe(0);
      expect((await run(["e2fsck", "-f", "-n", file])).code).toBe(0);
    } finally {
      await run(["fusermount3", "-u", mount]);
      await fuse.exited;
    }
    // The same again from the data file, when everything has arrived there.
    await served.close();
    expect((await run(["e2fsck", "-f", "-n", served.data])).code).toBe(0);
    await served.open();
  },
  60_000,
);
