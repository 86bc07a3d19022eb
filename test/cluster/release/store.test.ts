/**
 * Releases on a host: only what is missing is taken, only what is whole and works is kept, nothing in use is
 * removed.
 */
import { createHash } from "node:crypto";
import { zstdCompressSync } from "node:zlib";
import { describe, expect, test } from "bun:test";
import type { ReleaseManifest } from "../../../src/cluster/agent/messages.ts";
import { cut, decodeBitmap, encodeTable, type Block } from "../../../src/cluster/release/blocks.ts";
import { blocksFileOf } from "../../../src/cluster/release/incoming.ts";
import { ReleaseStore } from "../../../src/cluster/release/store.ts";
import { deploymentPaths, releasePaths } from "../../../src/cluster/topology/layout.ts";
import { writeFileAtomically } from "../../../src/core/seams/durable-files.ts";
import { SimDisk } from "../../../src/core/sim/disk.ts";
import { Scheduler } from "../../../src/core/sim/scheduler.ts";
import { programBytes } from "../deploy/model-cluster.ts";

const WORK = "/srv";
const paths = deploymentPaths(WORK, "p");
const sha256 = (bytes: Uint8Array) => createHash("sha256").update(bytes).digest("hex");

class TestHost {
  readonly disk: SimDisk;
  readonly #scheduler = new Scheduler(1);
  selftest: { status: number | string; output: string } = { status: 0, output: "ok" };
  store: ReleaseStore;

  constructor(capacityBytes = Number.POSITIVE_INFINITY) {
    this.disk = new SimDisk(this.#scheduler, { capacityBytes });
    this.store = this.reopened();
  }

  reopened(): ReleaseStore {
    return (this.store = new ReleaseStore({
      disk: this.disk,
      paths,
      workingDirectory: WORK,
      run: async () => this.selftest,
      ownExecutable: undefined,
    }));
  }

  run<Value>(work: () => Promise<Value>): Value {
    return this.#scheduler.run(work);
  }

  /** Returns which blocks the host wants. */
  async announce(executable: Uint8Array): Promise<Block[]> {
    const blocks = cut(executable);
    const digest = sha256(executable);
    const { bitmap } = await this.store.incoming.have(digest, executable.byteLength, encodeTable(blocks));
    return decodeBitmap(bitmap, blocks.length).map((index) => blocks[index] as Block);
  }

  async put(executable: Uint8Array, wanted: readonly Block[], first = 0): Promise<void> {
    const raw = Buffer.concat(wanted.map(({ offset, bytes }) => executable.subarray(offset, offset + bytes)));
    const batch = { first, blocks: wanted.length, rawBytes: raw.byteLength };
    await this.store.incoming.put(sha256(executable), batch, zstdCompressSync(raw));
  }

  /** Sends what is missing and makes a release of it; returns how many bytes were missing. */
  async deploy(id: string, executable: Uint8Array, createdAtMs = 1): Promise<number> {
    const digest = sha256(executable);
    let missingBytes = 0;
    if ((await this.store.executableOf(digest)) === undefined) {
      const wanted = await this.announce(executable);
      if (wanted.length > 0) await this.put(executable, wanted);
      await this.store.incoming.finish(digest);
      missingBytes = wanted.reduce((sum, { bytes }) => sum + bytes, 0);
    }
    await this.store.write(this.manifest(id, executable, createdAtMs), new Uint8Array(0));
    return missingBytes;
  }

  manifest(id: string, executable: Uint8Array, createdAtMs = 1): ReleaseManifest {
    return {
      id,
      digest: sha256(Buffer.from(id)),
      createdAtMs,
      madeBy: "me",
      version: "1",
      executable: { sha256: sha256(executable), bytes: executable.byteLength },
      files: [],
      services: [],
    };
  }
}

const codeOf = (work: Promise<unknown>) =>
  work.then(
    () => "ok",
    (error: { code: string; message: string }) => `${error.code}: ${error.message}`,
  );

describe("an executable", () => {
  test("comes whole the first time, and then only where it differs", () => {
    const host = new TestHost();
    host.run(async () => {
      const old = programBytes(10);
      expect(await host.deploy("old", old)).toBe(old.byteLength);
      expect(await host.deploy("new", programBytes(11))).toBeLessThan(150_000);
      // The same executable in another release is a second name of it.
      expect(await host.deploy("config", programBytes(11))).toBe(0);
    });
  });

  test("whose upload broke off goes on where it was", () => {
    const host = new TestHost();
    host.run(async () => {
      const executable = programBytes(10);
      const wanted = await host.announce(executable);
      await host.put(executable, wanted.slice(0, 3));
      host.reopened();
      expect(await host.announce(executable)).toEqual(wanted.slice(3));
      await host.put(executable, wanted.slice(3));
      expect(await host.store.incoming.finish(sha256(executable))).toEqual(["ok"]);
    });
  });

  test("whose upload was given up for another takes no space any more", () => {
    const host = new TestHost();
    host.run(async () => {
      const given = programBytes(10);
      await host.put(given, await host.announce(given));
      await host.deploy("new", programBytes(11));
      expect(await host.disk.list(`${paths.root}/incoming`)).toEqual([]);
    });
  });

  test("with a block that arrived damaged is refused, as is one that unpacks to more than announced", () => {
    const host = new TestHost();
    host.run(async () => {
      const executable = programBytes(10);
      const [first] = await host.announce(executable);
      const other = programBytes(99).map((byte) => byte ^ 1);
      const send = (raw: Uint8Array, rawBytes: number) =>
        codeOf(
          host.store.incoming.put(
            sha256(executable),
            { first: 0, blocks: 1, rawBytes },
            zstdCompressSync(raw),
          ),
        );
      const bytes = first?.bytes as number;
      expect(await send(other.subarray(0, bytes), bytes)).toStartWith("NX_UPLOAD_DAMAGED");
      expect(await send(new Uint8Array(bytes + 1), bytes)).toStartWith("NX_UPLOAD_DAMAGED");
      expect(await send(new Uint8Array(1 << 24), bytes)).toStartWith("NX_UPLOAD_DAMAGED");
      expect(await send(executable.subarray(0, bytes), bytes + 1)).toStartWith("NX_AGENT_PROTOCOL");
    });
  });

  test("that was put together from a base whose table of blocks lies is thrown away, and the next attempt succeeds", () => {
    const host = new TestHost();
    host.run(async () => {
      const old = programBytes(10);
      await host.deploy("old", old);
      const base = releasePaths(`${paths.releases}/old`).executable;
      const lie = cut(old).map((block, index, all) => ({
        ...block,
        digest: (all[index ^ 1] ?? block).digest,
      }));
      await writeFileAtomically(host.disk, blocksFileOf(base), encodeTable(lie));
      host.reopened();
      expect(await codeOf(host.deploy("new", programBytes(11)))).toStartWith("NX_UPLOAD_DAMAGED");
      expect(await host.deploy("new", programBytes(11))).toBeGreaterThan(0);
    });
  });

  test("that another deployment on the machine has checked is linked, unless it is no longer that very file", () => {
    const host = new TestHost();
    host.run(async () => {
      const { disk, store } = host;
      const [old, fresh] = [programBytes(10), programBytes(11)];
      const path = "/other/node-x";
      await disk.makeDirectory("/other");
      await writeFileAtomically(disk, path, fresh);
      const checked = { path, mark: (await disk.fileMark(path)) as string };
      host.selftest = { status: 1, output: "nobody asks for a self-test" };
      expect(await store.incoming.adopt(sha256(fresh), { ...checked, path: "/other/gone" })).toBe(false);
      expect(await store.incoming.adopt(sha256(fresh), checked)).toBe(true);
      await store.write(host.manifest("new", fresh), new Uint8Array(0));
      expect(await disk.fileMark(releasePaths(`${paths.releases}/new`).executable)).toBe(checked.mark);
      // Replaced, or written to, after it was checked.
      const file = await disk.open(path, "readWrite");
      await file.write(Uint8Array.of(0), 0);
      expect(await store.incoming.adopt(sha256(fresh), checked)).toBe(false);
      await writeFileAtomically(disk, path, fresh);
      expect(await store.incoming.adopt(sha256(fresh), checked)).toBe(false);
      await host.announce(old);
      expect(await disk.list(`${paths.root}/incoming`)).toMatchObject([{ name: `${sha256(old)}.part` }]);
    });
  });

  test("that fails its self-test here is never eligible, and the message says why", () => {
    const host = new TestHost();
    host.run(async () => {
      await host.deploy("old", programBytes(10));
      host.selftest = { status: "SIGILL", output: "" };
      const refused = await codeOf(host.deploy("new", programBytes(11)));
      expect(refused).toStartWith("NX_EXECUTABLE_UNFIT");
      expect(refused).toContain("AVX2");
      expect(await codeOf(host.store.swap("p.dht0", "new"))).toStartWith("NX_RELEASE_UNKNOWN");
      host.selftest = { status: 1, output: "FAILED native: no" };
      expect(await codeOf(host.deploy("new", programBytes(11)))).toContain("FAILED native: no");
      expect((await host.store.list()).releases.map(({ id }) => id)).toEqual(["old"]);
    });
  });

  test("for which there is no space is refused at once, the old release stays", () => {
    const old = programBytes(10);
    const host = new TestHost(1.5 * old.byteLength + 50_000);
    host.run(async () => {
      await host.deploy("old", old);
      await host.store.swap("p.dht0", "old");
      const refused = await codeOf(host.deploy("new", programBytes(11)));
      expect(refused).toStartWith("NX_DISK_FULL");
      expect(await host.store.active("p.dht0")).toBe("old");
      expect((await host.store.list()).releases.map(({ id }) => id)).toEqual(["old"]);
    });
  });
});

describe("releases", () => {
  test("are pruned the oldest first, but never one that a link points to", () => {
    const host = new TestHost();
    host.run(async () => {
      for (const [at, id] of ["a", "b", "c", "d", "e"].entries()) await host.deploy(id, programBytes(10), at);
      await host.store.swap("p.dht0", "a");
      await host.store.linkCurrent("b");
      expect(await host.store.prune(2)).toEqual(["c"]);
      expect((await host.store.list()).releases.map(({ id }) => id)).toEqual(["e", "d", "b", "a"]);
    });
  });

  test("marked as bad are not started again, until they are deployed again", () => {
    const host = new TestHost();
    host.run(async () => {
      await host.deploy("a", programBytes(10));
      await host.store.markBad("a", "it crashed");
      expect(await codeOf(host.store.swap("p.dht0", "a"))).toContain("it crashed");
      await host.deploy("a", programBytes(10));
      expect(await codeOf(host.store.swap("p.dht0", "a"))).toBe("ok");
    });
  });

  test("that somebody made by hand in `versions` are adopted: kept, listed, and started by name", () => {
    const host = new TestHost();
    host.run(async () => {
      const dated = `${WORK}/versions/2019-03-01`;
      await host.disk.makeDirectory(dated);
      await writeFileAtomically(host.disk, releasePaths(dated).executable, programBytes(10));
      expect(await host.deploy("new", programBytes(11))).toBeLessThan(150_000);
      expect(await host.store.list()).toMatchObject({ foreign: ["2019-03-01"], releases: [{ id: "new" }] });
      await host.store.swap("p.dht0", "2019-03-01");
      expect(await host.disk.readLink(`${paths.active}/p.dht0`)).toBe("../../../versions/2019-03-01");
      expect(await host.store.prune(0)).toEqual(["new"]);
      expect((await host.store.list()).foreign).toEqual(["2019-03-01"]);
    });
  });

  test("of one name and another content are refused", () => {
    const host = new TestHost();
    host.run(async () => {
      await host.deploy("a", programBytes(10));
      const other = { ...host.manifest("a", programBytes(10)), digest: "0".repeat(64) };
      expect(await codeOf(host.store.write(other, new Uint8Array(0)))).toStartWith("NX_FILE_EXISTS");
    });
  });
});
