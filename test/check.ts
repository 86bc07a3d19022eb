/**
 * `bun run check`: installs what the tests need, builds, checks types and runs every test.
 *
 * Invariant: the last line is `N passed, N failed`, and the exit code is 0 only when nothing failed and something
 * ran. The file of a failed test runs once more, alone: what passes then is named as a flake and counts as passed. Long
 * work (soak, benchmarks, long simulations) has commands of its own.
 */
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { availableParallelism, tmpdir } from "node:os";
import { join } from "node:path";
import { ensureExecutable, ensurePrograms } from "../build.ts";
import { flakesOf } from "./flakes.ts";

/** Other people's servers and clients that the tests start on loopback. */
const testPrograms = [
  { program: "redis-server", package: "redis-server" },
  { program: "redis-cli", package: "redis-tools" },
  { program: "redis-benchmark", package: "redis-tools" },
  { program: "openssl", package: "openssl" },
  { program: "ssh", package: "openssh-client" },
  { program: "sshd", package: "openssh-server" },
  { program: "busybox", package: "busybox-static" },
  { program: "systemd-analyze", package: "systemd" },
  { program: "chromium", package: "chromium" },
  { program: "nbdcopy", package: "libnbd-bin" },
  { program: "qemu-io", package: "qemu-utils" },
  { program: "fio", package: "fio" },
  { program: "fusermount3", package: "fuse3" },
  { program: "mke2fs", package: "e2fsprogs" },
  { program: "etcd", package: "etcd-server" },
  { program: "nats-server", package: "nats-server" },
];

const root = join(import.meta.dir, "..");
/** One file more at once than there are processors: many wait for processes, timers and disks most of their time. */
const workers = availableParallelism() + 1;

/** Runs a command with its output passed through; returns its exit code and what it printed. */
async function stream(command: string[]): Promise<{ code: number; output: string }> {
  const child = Bun.spawn(command, {
    cwd: root,
    // By then all is built: hundreds of test files need not look whether something is stale.
    env: { ...process.env, NODE_X_BUILT: root },
    stdin: "ignore",
    stdout: "pipe",
    stderr: "pipe",
  });
  let output = "";
  const pass = async (from: ReadableStream<Uint8Array>, to: NodeJS.WriteStream) => {
    const decoder = new TextDecoder();
    for await (const chunk of from) {
      to.write(chunk);
      output += decoder.decode(chunk, { stream: true });
    }
  };
  await Promise.all([pass(child.stdout, process.stdout), pass(child.stderr, process.stderr)]);
  return { code: await child.exited, output };
}

function countOf(output: string, word: string): number {
  const counts = [...output.matchAll(new RegExp(`^\\s*(\\d+) ${word}$`, "gm"))];
  return counts.reduce((sum, match) => sum + Number(match[1]), 0);
}

const runTests = [process.execPath, "test", "--timeout", "120000"];

async function passesAlone(file: string): Promise<boolean> {
  console.log(`\n${file} once more, alone`);
  return (await stream([...runTests, file])).code === 0;
}

let passed = 0;
let failed = 0;
const directory = mkdtempSync(join(tmpdir(), "node-x-check-"));
try {
  await ensurePrograms(testPrograms);
  await ensureExecutable();

  const types = await stream([process.execPath, "check", "--no-script", "-p", "test/tsconfig.json"]);
  if (types.code === 0) passed += 1;
  else failed += 1;

  const reportFile = join(directory, "report.xml");
  const report = ["--reporter=junit", `--reporter-outfile=${reportFile}`];
  const tests = await stream([...runTests, `--parallel=${workers}`, ...report, ...process.argv.slice(2)]);
  const failures = countOf(tests.output, "fail");
  const flakes =
    failures === 0 ? [] : await flakesOf(readFileSync(reportFile, "utf8"), failures, passesAlone);
  for (const { file, name } of flakes)
    console.log(
      `flaked: "${name}" of ${file} failed and then passed alone: mend it, or take it out of check`,
    );
  passed += countOf(tests.output, "pass") + flakes.length;
  // A crash or an error outside a test fails the run even when no test is counted as failed.
  failed += tests.code !== 0 && failures === 0 ? 1 : failures - flakes.length;
} catch (error) {
  console.error(`error: ${(error as Error).message}`);
  failed += 1;
} finally {
  rmSync(directory, { recursive: true, force: true });
}
console.log(`${passed} passed, ${failed} failed`);
process.exit(failed === 0 && passed > 0 ? 0 : 1);
