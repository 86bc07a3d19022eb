/**
 * `bun run bench deploy [HOSTS]`: how many bytes a redeploy sends when one line of code changed, and how long
 * deploys take.
 *
 * Two real executables are built from copies of this tree that differ in one source line. The bytes are those
 * handed to the connection: blocks, their table, files, every message. The times are those of `node-x deploy
 * -y` as an operator runs it, with a dht instance on each loopback host, from the call to its end:
 * connections, uploads, self-tests, swaps, gates; loopback hosts are one machine, so the executable is
 * brought there, checked and tried once, and linked by the others. Writes dist/bench/deploy.json. Exit code 1 when a floor is
 * not held.
 */
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { AgentClient } from "../../src/cluster/agent/client.ts";
import { AGENT_PROTOCOL } from "../../src/cluster/agent/messages.ts";
import { Executable } from "../../src/cluster/release/executable.ts";
import { uploadRelease, type Upload } from "../../src/cluster/release/upload.ts";
import { lockAll } from "../../src/cluster/rollout/session.ts";
import { spawnStream } from "../../src/cluster/ssh/child.ts";
import { NxError } from "../../src/core/errors.ts";
import { realClock } from "../../src/core/seams/clock.ts";
import { RealDisk } from "../../src/core/seams/disk-real.ts";
import { ensureExecutable } from "../../build.ts";
import { lockFile } from "../../src/native/system.ts";
import { SshCluster } from "../cluster/deploy/ssh-cluster.ts";

const FLOORS = { sentBytes: 3_000_000, firstSeconds: 15 };
const GOALS = { sentBytes: 2_000_000, firstSeconds: 10 };
const root = join(import.meta.dir, "../..");
const CHANGED = {
  file: "src/cli/main.ts",
  from: "One executable that runs every",
  to: "One executable that runs each",
};
const disk = new RealDisk(lockFile);

/**
 * Builds from a copy of the tree, with one line changed or not; both know no commit, so nothing else differs.
 */
function buildFrom(place: string, isChanged: boolean): string {
  mkdirSync(place, { recursive: true });
  for (const path of [
    "src",
    "configs",
    "native",
    "build.ts",
    "package.json",
    "bun.lock",
    "dist/native",
    "dist/hub",
    "dist/reactive",
    "dist/streams",
  ]) {
    cpSync(join(root, path), join(place, path), { recursive: true });
  }
  symlinkSync(join(root, "node_modules"), join(place, "node_modules"));
  if (isChanged) {
    const path = join(place, CHANGED.file);
    const text = readFileSync(path, "utf8");
    if (!text.includes(CHANGED.from)) throw new Error(`${CHANGED.file} has changed: adapt this benchmark`);
    writeFileSync(path, text.replace(CHANGED.from, CHANGED.to));
  }
  const built = Bun.spawnSync([process.execPath, "build.ts", "--bundle", join(place, "out")], { cwd: place });
  if (built.exitCode !== 0) throw new Error(built.stderr.toString());
  return join(place, "out/node-x");
}

/** Uploads one after the other to one agent; returns what each sent. */
async function measureBytes(directory: string, paths: readonly string[]): Promise<Upload[]> {
  const stream = spawnStream([paths[0] as string, "agent", "--stdio"], process.env);
  const agent = new AgentClient("host", stream, () => new NxError("NX_HOST_LOST", stream.stderr()));
  await agent.call("hello", { protocol: AGENT_PROTOCOL, workingDirectory: directory, prefix: "b" });
  const operator = { name: "bench", why: "bench", operation: "bench" };
  const lock = await lockAll(new Map([["host", agent]]), { clock: realClock, operator });
  const uploads: Upload[] = [];
  for (const [index, path] of paths.entries()) {
    const executable = await Executable.read(disk, path);
    const manifest = {
      id: `r${index}`,
      digest: executable.sha256,
      createdAtMs: index,
      madeBy: "bench",
      version: "bench",
      executable: { sha256: executable.sha256, bytes: executable.bytes.byteLength },
      files: [],
      services: [],
    };
    const options = {
      manifest,
      files: [],
      executable,
      fence: lock.fence,
      arrivals: new Map(),
      onProgress: () => undefined,
    };
    uploads.push(await uploadRelease(agent, options));
  }
  await lock.release();
  agent.close();
  return uploads;
}

async function secondsOf(cluster: SshCluster, executable: string): Promise<number> {
  const startMs = performance.now();
  const { code, stderr } = await cluster.run(["deploy", cluster.prefix, "-y"], executable);
  if (code !== 0) throw new Error(stderr);
  return (performance.now() - startMs) / 1000;
}

async function measureTimes(hosts: number, isLocal: boolean, [old, fresh]: readonly [string, string]) {
  using cluster = await SshCluster.start(hosts, { isLocal, unavailableMax: "25%" });
  const first = await secondsOf(cluster, old);
  const redeploy = await secondsOf(cluster, fresh);
  const startMs = performance.now();
  await cluster.run(["status", cluster.prefix], fresh);
  const status = (performance.now() - startMs) / 1000;
  await cluster.run(["kill", cluster.prefix], fresh);
  return { first, redeploy, status };
}

export async function benchDeploy(argv: string[]): Promise<number> {
  const hosts = argv[0] === undefined ? 10 : Number(argv[0]);
  if (argv.length > 1 || !Number.isSafeInteger(hosts) || hosts < 1 || hosts > 100) {
    throw new NxError("NX_USAGE", "wanted: bench deploy [HOSTS]");
  }
  await ensureExecutable();
  const directory = mkdtempSync(join(tmpdir(), "nx-bench-"));
  try {
    const old = buildFrom(join(directory, "old"), false);
    const fresh = buildFrom(join(directory, "new"), true);
    const [first, second] = await measureBytes(join(directory, "host"), [old, fresh]);
    const local = await measureTimes(hosts, true, [old, fresh]);
    const ssh = await measureTimes(hosts, false, [old, fresh]);
    const sentBytes = second?.sentBytes ?? 0;
    const report = { hosts, first, second, local, ssh };
    mkdirSync(join(root, "dist/bench"), { recursive: true });
    writeFileSync(join(root, "dist/bench/deploy.json"), `${JSON.stringify(report, null, 2)}\n`);
    const mb = (bytes: number) => `${(bytes / 1e6).toFixed(2)} MB`;
    const s = (seconds: number) => `${seconds.toFixed(1)} s`;
    console.log(
      `code-only redeploy: ${mb(sentBytes)} sent, ${second?.sentBlocks} blocks of ${mb(second?.rawBytes ?? 0)}`,
    );
    console.log(
      `${hosts} loopback hosts without ssh: first ${s(local.first)}, redeploy ${s(local.redeploy)}, status ${s(local.status)}`,
    );
    console.log(
      `${hosts} loopback hosts over ssh:    first ${s(ssh.first)}, redeploy ${s(ssh.redeploy)}, status ${s(ssh.status)}`,
    );
    console.log(
      `floors: ${mb(FLOORS.sentBytes)}, ${FLOORS.firstSeconds} s; goals: ${mb(GOALS.sentBytes)}, ${GOALS.firstSeconds} s`,
    );
    const seconds = [local.first, local.redeploy, ssh.first, ssh.redeploy];
    const isHeld =
      sentBytes <= FLOORS.sentBytes && seconds.every((measured) => measured <= FLOORS.firstSeconds);
    return isHeld ? 0 : 1;
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}
