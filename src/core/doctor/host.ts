/**
 * Checks of the host: limits, kernel settings, clock, processor, C library.
 *
 * None of them changes anything. Each says what it saw, and how to fix what is wrong.
 */
import { readdirSync, readFileSync } from "node:fs";
import { realClock } from "../seams/clock.ts";
import { fail, ok, warn, type Finding, type Probe } from "./finding.ts";

/** This host. */
export const hostProbe: Probe = {
  read(path) {
    try {
      return readFileSync(path, "utf8");
    } catch {
      return undefined;
    }
  },
  list(path) {
    try {
      return readdirSync(path);
    } catch {
      return [];
    }
  },
  clock: realClock,
};

/** Descriptors that an instance uses besides its connections. */
const OWN_DESCRIPTORS = 256;

/** `connections`: the most that any checked configuration allows. */
export function checkOpenFiles(probe: Probe, connections: number): Finding {
  const line = /^Max open files\s+(\S+)/m.exec(probe.read("/proc/self/limits") ?? "");
  if (line === null) return warn("nofile", "unknown", "check `ulimit -n`");
  const limit = line[1] === "unlimited" ? Number.POSITIVE_INFINITY : Number(line[1]);
  const needed = connections + OWN_DESCRIPTORS;
  const found = `${line[1]} open files allowed, ${needed} needed for ${connections} connections`;
  if (limit >= needed) return ok("nofile", found);
  return fail(
    "nofile",
    found,
    `set LimitNOFILE=${needed} in the unit, or \`ulimit -n ${needed}\`, or lower limits.connections`,
  );
}

const BACKLOG_WANTED = 1024;

export function checkBacklog(probe: Probe): Finding {
  const text = probe.read("/proc/sys/net/core/somaxconn");
  if (text === undefined) return warn("somaxconn", "unknown", "check `sysctl net.core.somaxconn`");
  const found = `${text.trim()} connections may wait to be accepted`;
  if (Number(text) >= BACKLOG_WANTED) return ok("somaxconn", found);
  return warn("somaxconn", found, `sysctl -w net.core.somaxconn=${BACKLOG_WANTED}`);
}

export function checkHugePages(probe: Probe): Finding {
  const text = probe.read("/sys/kernel/mm/transparent_hugepage/enabled");
  const mode = /\[(\w+)\]/.exec(text ?? "")?.[1];
  if (mode === undefined) return ok("thp", "this kernel has no transparent huge pages");
  if (mode !== "always") return ok("thp", `transparent huge pages: ${mode}`);
  return warn(
    "thp",
    "transparent huge pages: always (latency spikes, memory use grows)",
    "echo madvise > /sys/kernel/mm/transparent_hugepage/enabled",
  );
}

export function checkOvercommit(probe: Probe): Finding {
  const mode = probe.read("/proc/sys/vm/overcommit_memory")?.trim();
  if (mode !== "2") return ok("overcommit", `vm.overcommit_memory=${mode ?? "unknown"}`);
  return warn(
    "overcommit",
    "vm.overcommit_memory=2: reserved but unused memory counts",
    "sysctl -w vm.overcommit_memory=0",
  );
}

export function checkMemfd(probe: Probe): Finding {
  const mode = probe.read("/proc/sys/vm/memfd_noexec")?.trim();
  if (mode === undefined || mode === "0" || mode === "1")
    return ok("memfd", "code can be loaded from sealed memory");
  return warn(
    "memfd",
    "vm.memfd_noexec=2: the C library is loaded from an unnamed file instead",
    "sysctl -w vm.memfd_noexec=1, or set RUNTIME_DIRECTORY to a directory that is not noexec",
  );
}

/** Later than any release: a clock before it was never set. */
const EARLIEST_MS = Date.UTC(2025, 0, 1);
const TIME_DAEMONS = ["systemd-timesyn", "chronyd", "ntpd", "ntpd-rs", "openntpd", "ptp4l", "phc2sys"];
const SLOW_CLOCKSOURCES = ["hpet", "acpi_pm", "jiffies"];

export function checkClock(probe: Probe): Finding {
  const now = new Date(probe.clock.nowMs());
  if (now.getTime() < EARLIEST_MS)
    return fail("clock", `the clock says ${now.toISOString()}`, "set the clock (`timedatectl set-ntp true`)");
  const source =
    probe.read("/sys/devices/system/clocksource/clocksource0/current_clocksource")?.trim() ?? "unknown";
  if (SLOW_CLOCKSOURCES.includes(source)) {
    return warn(
      "clock",
      `clock source ${source}: reading the time is slow`,
      "boot with clocksource=tsc, or kvm-clock in a guest",
    );
  }
  const processes = probe.list("/proc").filter((name) => /^\d+$/.test(name));
  const names = new Set(processes.map((pid) => probe.read(`/proc/${pid}/comm`)?.trim()));
  const daemon = TIME_DAEMONS.find((name) => names.has(name));
  // A guest's clock may be disciplined by its host without a daemon.
  const hasHostClock = probe.list("/dev").some((name) => /^ptp/.test(name));
  if (daemon === undefined && !hasHostClock) {
    return warn(
      "clock",
      `${now.toISOString()}, source ${source}, no time daemon runs`,
      "run one (`timedatectl set-ntp true`): expiry and logs follow this clock",
    );
  }
  return ok("clock", `${now.toISOString()}, source ${source}, kept by ${daemon ?? "the host"}`);
}

const WANTED_FLAGS: Record<string, { flag: string; use: string }[]> = {
  x64: [
    { flag: "sse4_2", use: "checksums" },
    { flag: "pclmulqdq", use: "checksums" },
    { flag: "avx2", use: "searching and coding" },
    { flag: "aes", use: "TLS" },
  ],
  arm64: [
    { flag: "crc32", use: "checksums" },
    { flag: "aes", use: "TLS" },
  ],
};

export function checkProcessor(probe: Probe, architecture: string): Finding {
  const line = /^(?:flags|Features)\s*:\s*(.*)$/m.exec(probe.read("/proc/cpuinfo") ?? "");
  if (line === null) return warn("cpu", "unknown processor", "check /proc/cpuinfo");
  const flags = new Set(line[1]?.split(/\s+/));
  const wanted = WANTED_FLAGS[architecture] ?? [];
  const missing = wanted.filter(({ flag }) => !flags.has(flag));
  if (missing.length === 0)
    return ok("cpu", `${architecture} with ${wanted.map(({ flag }) => flag).join(", ")}`);
  const found = `${architecture} without ${missing.map(({ flag, use }) => `${flag} (${use})`).join(", ")}`;
  return warn("cpu", found, "it works, slower; in a virtual machine pass the host's processor through");
}

const GLIBC_MINIMUM = [2, 17] as const;

/** `version`: of the running C library, as in `2.36`; undefined for musl. */
export function checkLibc(version: string | undefined): Finding {
  if (version === undefined) return warn("glibc", "not glibc", "use a host with glibc 2.17 or later");
  const [major = 0, minor = 0] = version.split(".").map(Number);
  const isEnough = major > GLIBC_MINIMUM[0] || (major === GLIBC_MINIMUM[0] && minor >= GLIBC_MINIMUM[1]);
  if (isEnough) return ok("glibc", version);
  return fail("glibc", version, `use a host with glibc ${GLIBC_MINIMUM.join(".")} or later`);
}

/** The version of the C library that this process runs with. */
export function libcVersion(): string | undefined {
  const report = process.report?.getReport() as { header?: { glibcVersionRuntime?: string } } | undefined;
  return report?.header?.glibcVersionRuntime;
}
