/** The host that this process runs on, as its agent sees it. */
import { arch, cpus, hostname, machine, release, totalmem, userInfo } from "node:os";
import { buildInfo } from "../../core/build-info.ts";
import { cleanEnvironment, runCommand } from "../../core/kernel/run-command.ts";
import { realClock } from "../../core/seams/clock.ts";
import type { LinkingDisk } from "../../core/seams/disk.ts";
import { RealDisk } from "../../core/seams/disk-real.ts";
import { lockFile } from "../../native/system.ts";
import { readStart } from "../release/files.ts";
import type { RunProgram } from "../release/incoming.ts";
import type { HostServices } from "../services/services.ts";
import { userName } from "../user-name.ts";
import type { HostWorld } from "./deployment.ts";
import type { ExecProgram } from "./handlers.ts";
import { askAdmin } from "./health.ts";
import type { HostFacts } from "./messages.ts";

const OUTPUT_LENGTH_MAX = 64 << 10;
const CPUINFO_BYTES_MAX = 1 << 20;
const BOOT_ID_BYTES = 36;

export const runProgram: RunProgram = async (words) => {
  const { status, stdout, stderr } = await runCommand(words);
  return { status, output: `${stdout}${stderr}`.slice(-OUTPUT_LENGTH_MAX) };
};

export const execProgram: ExecProgram = async (words, { workingDirectory, timeoutMs, signal }, onOutput) => {
  const child = Bun.spawn([...words], {
    cwd: workingDirectory,
    env: cleanEnvironment(),
    stdin: "ignore",
    stdout: "pipe",
    stderr: "pipe",
    timeout: timeoutMs,
    signal,
  });
  const pass = async (stream: "stdout" | "stderr") => {
    for await (const chunk of child[stream]) await onOutput(stream, chunk);
  };
  await Promise.all([pass("stdout"), pass("stderr")]);
  const code = await child.exited;
  return child.signalCode === null ? { code } : { signal: String(child.signalCode) };
};

async function hostFacts(disk: LinkingDisk, workingDirectory: string): Promise<HostFacts> {
  return {
    hostname: hostname(),
    machine: machine() || arch(),
    libc: await libcKind(disk),
    kernel: release(),
    cpuFlags: await cpuFlags(disk),
    cpuCount: cpus().length,
    memoryBytes: totalmem(),
    freeBytes: await freeBytes(disk, workingDirectory),
    user: userName(),
    isRoot: userInfo().uid === 0,
    nowMs: realClock.nowMs(),
  };
}

/** As the boot script says it (ssh/bootstrap.ts): a container on the machine is another one. */
async function machineId(disk: LinkingDisk): Promise<string> {
  try {
    const boot = await readStart(disk, "/proc/sys/kernel/random/boot_id", BOOT_ID_BYTES);
    return `${boot}:${await disk.readLink("/proc/self/ns/mnt")}:${userInfo().uid}`;
  } catch {
    return "";
  }
}

/** Of the nearest directory that exists. */
async function freeBytes(disk: LinkingDisk, path: string): Promise<number> {
  if (path === "/" || (await disk.exists(path))) return (await disk.space(path)).freeBytes;
  return freeBytes(disk, path.slice(0, path.lastIndexOf("/")) || "/");
}

async function libcKind(disk: LinkingDisk): Promise<HostFacts["libc"]> {
  const names = async (directory: string) =>
    (await disk.exists(directory)) ? (await disk.list(directory)).map(({ name }) => name) : [];
  const found = [...(await names("/lib")), ...(await names("/lib64"))];
  if (found.some((name) => name.startsWith("ld-musl-"))) return "musl";
  if (found.some((name) => name.startsWith("ld-linux"))) return "glibc";
  return "unknown";
}

async function cpuFlags(disk: LinkingDisk): Promise<string[]> {
  if (!(await disk.exists("/proc/cpuinfo"))) return [];
  const text = await readStart(disk, "/proc/cpuinfo", CPUINFO_BYTES_MAX);
  return /^(?:flags|Features)\s*:\s*(.*)$/m.exec(text)?.[1]?.trim().split(/\s+/) ?? [];
}

/** `selfCommand`: how this program is called, `[executable]` or the runtime with the entry file. */
export function realHostWorld(
  selfCommand: readonly string[],
  createServices: (workingDirectory: string, prefix: string) => Promise<HostServices>,
): HostWorld {
  const disk = new RealDisk(lockFile);
  return {
    disk,
    clock: realClock,
    run: runProgram,
    ask: askAdmin,
    facts: (workingDirectory) => hostFacts(disk, workingDirectory),
    machineId: () => machineId(disk),
    services: createServices,
    startWatcher(workingDirectory, prefix) {
      // In a session of its own, so that the end of ours does not end it.
      const words = ["agent", "--watch-guards", "--working-directory", workingDirectory, "--prefix", prefix];
      Bun.spawn([...selfCommand, ...words], {
        cwd: "/",
        env: cleanEnvironment(),
        stdio: ["ignore", "ignore", "ignore"],
        detached: true,
      }).unref();
    },
    ownExecutable: buildInfo.isCompiled ? process.execPath : undefined,
  };
}
