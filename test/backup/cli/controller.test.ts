/** `node-x walb <subcommand>` against an archive and a proxy: the original's words on standard output. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { copyFileSync, existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { archiveTargets } from "../../../src/backup/archive/control.ts";
import { subcommands } from "../../../src/backup/cli/controller.ts";
import { proxyTargets } from "../../../src/backup/proxy/control.ts";
import { storageTargets } from "../../../src/backup/storage/control.ts";
import { seededRandom } from "../../../src/core/seams/random.ts";
import { realWorld } from "../../../src/core/seams/world-real.ts";
import { cli, temporaryDirectory } from "../../cli/helpers.ts";
import { type Running, startArchive, startProxy, TestStorage, VOLUME } from "../servers.ts";

const world = () => ({ ...realWorld(), random: seededRandom(11) });
let place: ReturnType<typeof temporaryDirectory>;
let archive: Running;
let proxy: Running;
let storage: TestStorage;

beforeAll(async () => {
  place = temporaryDirectory();
  archive = await startArchive(world(), { dataDir: join(place.path, "a0") });
  proxy = await startProxy(world(), { dataDir: join(place.path, "p0") });
  storage = new TestStorage(world(), 1024);
});
afterAll(async () => {
  await archive[Symbol.asyncDispose]();
  await proxy[Symbol.asyncDispose]();
  place.remove();
});

const walb = (server: Running, name: string, ...words: string[]) =>
  cli(["walb", name, "-a", "127.0.0.1", "-p", String(server.port), "-id", "ctl", ...words]);

test("all 34 subcommands of the original are there", () => {
  expect(Object.keys(subcommands)).toHaveLength(34);
});

test("every target of `get` that the original has is there", () => {
  const all = "state host-type vol pid handler-stat latest-snap".split(" ");
  const of = (targets: (view: never) => object) => new Set(Object.keys(targets({} as never)));
  const storages = "uuid ts-delta is-overflow log-usage".split(" ");
  const archives =
    "uuid ts-delta diff applicable-diff num-diff total-diff-size exists-diff exists-base-image num-action all-actions restored cold restorable archive-uuid base base-all meta-snap meta-state vol-size progress volume-group thinpool";
  expect(of(storageTargets)).toEqual(new Set([...all, ...storages, "progress", "num-action"]));
  expect(of(proxyTargets)).toEqual(new Set([...all, "is-wdiff-send-error", "proxy-diff"]));
  expect(of(archiveTargets)).toEqual(new Set([...all, ...archives.split(" ")]));
});

test("a session as an operator has it", async () => {
  expect(await walb(archive, "get", "host-type")).toMatchObject({ code: 0, stdout: "archive\n" });
  expect(await walb(archive, "get", "state", VOLUME)).toMatchObject({ code: 0, stdout: "Clear\n" });
  expect(await walb(archive, "init-vol", VOLUME)).toMatchObject({ code: 0, stdout: "", stderr: "" });
  expect((await walb(archive, "status", VOLUME)).stdout).toBe(
    "hostType archive\nvolume vol1\nstate SyncReady\naction Merge 0 Apply 0 Restore 0 ReplSyncAsClient 0 Resize 0\n" +
      "stopState NotStopping\nlastSyncTime ---\nlastWdiffReceivedTime ---\nprogressLb 0\nbaseLv NOT FOUND\n",
  );
  expect(
    (await walb(proxy, "archive-info", "add", VOLUME, "a0", `127.0.0.1:${archive.port}`, "zstd:3:2", "0"))
      .code,
  ).toBe(0);
  expect((await walb(proxy, "archive-info", "get", VOLUME, "a0")).stdout).toBe(
    `127.0.0.1:${archive.port} zstd:3:2 0\n`,
  );
  expect((await walb(proxy, "archive-info", "list", VOLUME)).stdout).toBe("a0\n");
  expect((await walb(proxy, "start", VOLUME)).code).toBe(0);
  storage.write(10);
  await storage.fullSync({ host: "127.0.0.1", port: archive.port });
  for (let gid = 1; gid <= 3; gid++) {
    await storage.ship({ host: "127.0.0.1", port: proxy.port }, storage.snapshot());
    storage.write(5);
  }
  while ((await walb(archive, "get", "num-diff", VOLUME)).stdout !== "3\n") await Bun.sleep(5);
  expect((await walb(archive, "get", "restorable", VOLUME)).stdout).toMatch(
    /^1 \d{4}-.*T.* 1\n2 .* 1\n3 .* 1\n$/,
  );
  expect(JSON.parse((await walb(archive, "get", "num-diff", VOLUME, "-json")).stdout)).toBe(3);
  expect((await walb(archive, "bhash", VOLUME, "3")).stdout).toMatch(/^[0-9a-f]{32}\n$/);
  const scanned = join(place.path, "scan.img");
  expect((await walb(archive, "virt-full-scan", scanned, VOLUME, "3", "64K")).code).toBe(0);
  expect(readFileSync(scanned).byteLength).toBe(1024 * 512);
  expect((await walb(archive, "restore", VOLUME, "2")).code).toBe(0);
  while ((await walb(archive, "get", "restored", VOLUME)).stdout !== "2\n") await Bun.sleep(5);
  while ((await walb(archive, "get", "num-action", VOLUME, "Restore")).stdout !== "0\n") await Bun.sleep(5);
  expect(await walb(archive, "restore", VOLUME, "2")).toMatchObject({
    code: 1,
    stderr: expect.stringContaining("c2aRestoreServer:already restored:vol1:2"),
  });
  expect((await walb(proxy, "status")).stdout).toContain("volume vol1 state Started numDiff 0 totalSize 0");
  expect((await walb(archive, "version")).stdout).toMatch(/^version:node-x-.*\tlog_version:2\tcommit:/);
});

test("exec runs a program where the server allows it, without a shell, and nowhere else", async () => {
  const config = { allowsExec: true };
  await using open = await startProxy(world(), { dataDir: join(place.path, "p1"), instance: "p1", config });
  expect(await walb(open, "exec", "/bin/echo", "$HOME", "a  b")).toMatchObject({
    code: 0,
    stdout: "$HOME a  b\n",
  });
  expect((await walb(open, "exec", "echo", "a")).stderr).toContain("an absolute path is wanted");
  expect((await walb(open, "exec", "/bin/false")).stderr).toContain("/bin/false ended with 1");
  expect(await walb(proxy, "exec", "/bin/echo", "a")).toMatchObject({
    code: 69,
    stderr: expect.stringContaining("bad protocol:exec"),
  });
});

test("mistakes and servers that are not there are told", async () => {
  expect((await cli(["walb", "get", "state"])).code).toBe(64);
  expect(await walb(archive, "get", "nosuch")).toMatchObject({
    code: 64,
    stderr: expect.stringContaining("name not found:nosuch"),
  });
  expect((await cli(["walb", "get", "-a", "127.0.0.1", "-p", "1", "-retry", "0", "pid"])).code).toBe(69);
});

test("words that are missing are named, and lines that are records are objects in JSON", async () => {
  expect(await walb(archive, "restore", VOLUME)).toMatchObject({
    code: 64,
    stderr: expect.stringContaining("too few words: wanted VOL GID | VOL at TIME"),
  });
  expect((await walb(archive, "merge", VOLUME)).stderr).toContain("wanted VOL GIDB gid GIDE|size MB");
  const json = async (...words: string[]) =>
    JSON.parse((await walb(archive, "get", ...words, "-json")).stdout) as unknown;
  expect(await json("latest-snap", VOLUME)).toMatchObject([{ name: VOLUME, kind: "archive", gid: "3" }]);
  expect(await json("restored", VOLUME)).toEqual(["2"]);
  expect(await json("cold", VOLUME)).toEqual([]);
});

test("-p and -to are heard by the commands for volumes, which have a host of their own", async () => {
  const silent = Bun.listen({ hostname: "127.0.0.1", port: 0, socket: { data: () => undefined } });
  expect(await cli(["walb", "volume", "list", "-p", String(silent.port), "-to", "1"])).toMatchObject({
    code: 69,
    stderr: expect.stringContaining("said nothing for 1 s"),
  });
  silent.stop(true);
});

test("the smaller questions, and commands that repair", async () => {
  expect(await walb(archive, "get", "vol")).toMatchObject({ code: 0, stdout: `${VOLUME}\n` });
  for (const target of ["volume-group", "thinpool"])
    expect(await walb(archive, "get", target)).toMatchObject({ code: 0, stdout: "\n" });
  expect((await walb(archive, "get", "handler-stat")).stdout).toContain("GET_COUNT\tvol\tctl\t1");
  expect(await walb(archive, "sleep", "0")).toMatchObject({ code: 0, stdout: "" });
  // A diff that another program left: known when the directory is read again, and not on the chain.
  const volume = join(place.path, "a0/archive", VOLUME);
  const [diff = ""] = readdirSync(volume).filter((name) => name.endsWith(".wdiff"));
  const stray = join(volume, "20261122082206----7-9.wdiff");
  copyFileSync(join(volume, diff), stray);
  expect((await walb(archive, "get", "num-diff", VOLUME)).stdout).toBe("3\n");
  expect(await walb(archive, "dbg-reload-metadata", VOLUME)).toMatchObject({ code: 0, stderr: "" });
  expect((await walb(archive, "get", "num-diff", VOLUME)).stdout).toBe("4\n");
  expect(await walb(archive, "gc-diff", VOLUME)).toMatchObject({ code: 0, stderr: "" });
  expect((await walb(archive, "get", "num-diff", VOLUME)).stdout).toBe("3\n");
  expect(existsSync(stray)).toBe(false);
});

test("verify reads everything, and finds a flipped bit in every kind of file", async () => {
  const directory = join(place.path, "a0/archive");
  expect(await cli(["walb", "verify", directory])).toMatchObject({
    code: 0,
    stdout: "3 diffs read, 0 damaged\n",
  });
  const hash = (await walb(archive, "bhash", VOLUME, "3")).stdout.trim();
  expect((await cli(["walb", "verify", directory, "-restore"])).stdout).toBe(
    `${VOLUME}@|3| ${hash}\n3 diffs read, 0 damaged\n`,
  );
  const volume = join(directory, VOLUME);
  for (const name of readdirSync(volume).filter((each) => !each.startsWith("wr_"))) {
    const path = join(volume, name);
    const whole = readFileSync(path);
    for (const at of [0, Math.floor(whole.byteLength / 2), whole.byteLength - 1]) {
      const damaged = Buffer.from(whole);
      damaged[at] = (damaged[at] as number) ^ 4;
      writeFileSync(path, damaged);
      expect({ name, at, code: (await cli(["walb", "verify", directory])).code }).toEqual({
        name,
        at,
        code: 65,
      });
    }
    writeFileSync(path, whole);
  }
});
