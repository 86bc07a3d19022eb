/** A host whose disk is too small for another release: a clear error, the old release stays and runs. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { existsSync, mkdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { ensureExecutable } from "../../../build.ts";
import { executable } from "../../e2e/node-process.ts";
import { SmallDisk, whyNoSmallDisk } from "../../e2e/small-disk.ts";
import { SshCluster } from "./ssh-cluster.ts";

const whyNot = whyNoSmallDisk();
let disk: SmallDisk | undefined;
let cluster: SshCluster;
let place = "";

beforeAll(async () => {
  await ensureExecutable();
  cluster = await SshCluster.start(1, { isLocal: true });
  place = cluster.workingDirectories[0] as string;
  mkdirSync(place);
  if (whyNot !== undefined) return;
  // One executable fits, with room for logs and data, but not two.
  disk = await SmallDisk.mount(place, Math.ceil((statSync(executable).size * 1.4) / (1 << 20)));
  cluster.wrapper = disk.enter;
}, 120_000);

afterAll(async () => {
  await cluster.run(["kill", cluster.prefix]);
  cluster[Symbol.dispose]();
  disk?.[Symbol.dispose]();
});

test.skipIf(whyNot !== undefined)(
  "a release that does not fit is refused, and the old one runs on",
  async () => {
    const first = await cluster.run(["deploy", cluster.prefix, "-y"]);
    expect(first.stderr).not.toContain("error");
    const before = cluster.running();
    const bytes = readFileSync(executable);
    bytes.write("Prove", bytes.indexOf("Check that this executable works on this host"));
    const other = join(cluster.directory, "other");
    writeFileSync(other, bytes, { mode: 0o755 });
    const { code, stderr } = await cluster.run(["deploy", cluster.prefix, "-y", "--executable", other]);
    expect(stderr).toContain("NX_DISK_FULL");
    expect(stderr).toContain(place);
    expect(code).toBe(74);
    expect(cluster.running()).toEqual(before);
    expect(Object.keys(before)).toEqual(["dht0"]);
    // A new start finds the old release whole.
    await cluster.run(["kill", cluster.prefix]);
    const again = await cluster.run(["start", cluster.prefix]);
    expect(again.stderr).not.toContain("error");
    expect(existsSync(`${disk?.outside(place)}/.node-x/c/current/node-x`)).toBe(true);
  },
  120_000,
);
