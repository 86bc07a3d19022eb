/** Private files of a release: how they are named, when they count as unchanged, who can read them on the host. */
import { expect, test } from "bun:test";
import { createHash } from "node:crypto";
import { mkdtempSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Inventory, ReleaseManifest } from "../../../src/cluster/agent/messages.ts";
import { Salts, saltedDigest } from "../../../src/cluster/release/salted.ts";
import { ReleaseStore } from "../../../src/cluster/release/store.ts";
import { deploymentPaths } from "../../../src/cluster/topology/layout.ts";
import { makeDurableDirectory, writeFileAtomically } from "../../../src/core/seams/durable-files.ts";
import { RealDisk } from "../../../src/core/seams/disk-real.ts";
import { lockFile } from "../../../src/native/system.ts";

const sha256 = (bytes: Uint8Array) => createHash("sha256").update(bytes).digest("hex");
const secret = Buffer.from("hunter2\n");
const NAME = "files/p.dht0/passwordFile";

/** What a host says that has the secret by this salt. */
const knownWith = (salt: string): Inventory[] => [
  {
    releases: [{ files: [{ name: NAME, sha256: saltedDigest(secret, salt), bytes: 8, salt }] }],
  } as unknown as Inventory,
];

test("the same content keeps its salt; other content, another name or another command has its own", () => {
  const salts = new Salts(new Uint8Array(32).fill(1));
  const fresh = salts.saltOf(NAME, secret, []);
  const known = "ab".repeat(16);
  expect(salts.saltOf(NAME, secret, [])).toBe(fresh);
  expect(salts.saltOf(NAME, secret, knownWith(known))).toBe(known);
  expect(salts.saltOf(NAME, Buffer.from("hunter3\n"), knownWith(known))).toBe(fresh);
  expect(salts.saltOf("files/p.dht1/passwordFile", secret, knownWith(known))).not.toBe(known);
  expect(new Salts(new Uint8Array(32).fill(2)).saltOf(NAME, secret, [])).not.toBe(fresh);
  expect(saltedDigest(secret, fresh)).not.toBe(sha256(secret));
});

test("on the host only its user can read them, or what would tell them", async () => {
  const work = mkdtempSync(join(tmpdir(), "node-x-private-"));
  try {
    const disk = new RealDisk(lockFile);
    const paths = deploymentPaths(work, "p");
    const run = async () => ({ status: 0, output: "" });
    const store = new ReleaseStore({ disk, paths, workingDirectory: work, run, ownExecutable: undefined });
    const executable = Buffer.from("a program");
    const digest = sha256(executable);
    await makeDurableDirectory(disk, join(store.incoming.pathOf(digest), ".."));
    await writeFileAtomically(disk, store.incoming.pathOf(digest), executable);
    const config = Buffer.from("{}");
    const salt = "cd".repeat(16);
    const manifest: ReleaseManifest = {
      id: "r1",
      digest,
      createdAtMs: 1,
      madeBy: "me",
      version: "1",
      executable: { sha256: digest, bytes: executable.byteLength },
      files: [
        { name: "configs/p.dht0.json", sha256: sha256(config), bytes: config.byteLength },
        { name: NAME, sha256: saltedDigest(secret, salt), bytes: secret.byteLength, salt },
      ],
      services: [],
    };
    const damaged = store.write(manifest, Buffer.concat([config, Buffer.from("hunter3\n")]));
    expect(await damaged.catch((error: Error) => error.message)).toContain("SHA-256");
    await store.write(manifest, Buffer.concat([config, secret]));
    const mode = (name: string) => (statSync(join(paths.releases, "r1", name)).mode & 0o777).toString(8);
    const modes = ["files", "files/p.dht0", NAME, "release.json", "configs/p.dht0.json"].map(mode);
    expect(modes).toEqual(["700", "700", "600", "600", "644"]);
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
});
