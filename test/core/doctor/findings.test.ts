/** The doctor's judgements over hosts that this one is not. */
import { describe, expect, test } from "bun:test";
import type { Finding, Probe, Verdict } from "../../../src/core/doctor/finding.ts";
import { existingDirectory, judgeSpace, judgeSync } from "../../../src/core/doctor/disk.ts";
import {
  checkBacklog,
  checkClock,
  checkHugePages,
  checkLibc,
  checkMemfd,
  checkOpenFiles,
  checkOvercommit,
  checkProcessor,
} from "../../../src/core/doctor/host.ts";
import { realClock } from "../../../src/core/seams/clock.ts";

interface Host {
  files?: Record<string, string>;
  directories?: Record<string, string[]>;
  nowMs?: number;
}

function host({ files = {}, directories = {}, nowMs = Date.UTC(2026, 0, 1) }: Host = {}): Probe {
  return {
    read: (path) => files[path],
    list: (path) => directories[path] ?? [],
    clock: { ...realClock, nowMs: () => nowMs },
  };
}

const limits = (soft: string) =>
  host({
    files: {
      "/proc/self/limits": `Limit  Soft  Hard\nMax open files            ${soft}                524288               files\n`,
    },
  });
const clocksource = "/sys/devices/system/clocksource/clocksource0/current_clocksource";
const huge = "/sys/kernel/mm/transparent_hugepage/enabled";
const cpu = (flags: string) =>
  host({ files: { "/proc/cpuinfo": `model name : x\nflags\t\t: fpu ${flags}\n` } });
const kept = {
  directories: { "/proc": ["1", "42", "self"] },
  files: { "/proc/42/comm": "chronyd\n", [clocksource]: "tsc\n" },
};

const cases: [claim: string, finding: Finding, verdict: Verdict, found: string][] = [
  ["enough open files", checkOpenFiles(limits("10000"), 5000), "ok", "10000 open files allowed, 5256 needed"],
  ["exactly enough open files", checkOpenFiles(limits("5256"), 5000), "ok", "5256 open files allowed"],
  [
    "one open file too few",
    checkOpenFiles(limits("5255"), 5000),
    "fail",
    "5255 open files allowed, 5256 needed",
  ],
  ["unlimited open files", checkOpenFiles(limits("unlimited"), 5000), "ok", "unlimited"],
  ["unknown limits", checkOpenFiles(host(), 5000), "warn", "unknown"],
  [
    "a short accept queue",
    checkBacklog(host({ files: { "/proc/sys/net/core/somaxconn": "128\n" } })),
    "warn",
    "128 connections",
  ],
  [
    "a long accept queue",
    checkBacklog(host({ files: { "/proc/sys/net/core/somaxconn": "4096\n" } })),
    "ok",
    "4096 connections",
  ],
  [
    "huge pages always",
    checkHugePages(host({ files: { [huge]: "[always] madvise never\n" } })),
    "warn",
    "always",
  ],
  [
    "huge pages on request",
    checkHugePages(host({ files: { [huge]: "always [madvise] never\n" } })),
    "ok",
    "madvise",
  ],
  ["no huge pages", checkHugePages(host()), "ok", "no transparent huge pages"],
  [
    "strict memory accounting",
    checkOvercommit(host({ files: { "/proc/sys/vm/overcommit_memory": "2\n" } })),
    "warn",
    "vm.overcommit_memory=2",
  ],
  [
    "memfds that cannot be executed",
    checkMemfd(host({ files: { "/proc/sys/vm/memfd_noexec": "2\n" } })),
    "warn",
    "vm.memfd_noexec=2",
  ],
  ["an old kernel without that setting", checkMemfd(host()), "ok", "sealed memory"],
  ["a clock that was never set", checkClock(host({ nowMs: 0 })), "fail", "1970-01-01T00:00:00.000Z"],
  ["a slow clock source", checkClock(host({ files: { [clocksource]: "hpet\n" } })), "warn", "hpet"],
  ["a clock nobody keeps", checkClock(host({ files: { [clocksource]: "tsc\n" } })), "warn", "no time daemon"],
  ["a clock kept by a daemon", checkClock(host(kept)), "ok", "kept by chronyd"],
  [
    "a clock kept by the hypervisor",
    checkClock(host({ directories: { "/dev": ["ptp0"] } })),
    "ok",
    "kept by the host",
  ],
  ["a modern processor", checkProcessor(cpu("sse4_2 pclmulqdq avx2 aes"), "x64"), "ok", "sse4_2"],
  ["a processor without AVX2", checkProcessor(cpu("sse4_2 pclmulqdq aes"), "x64"), "warn", "without avx2"],
  ["an unknown processor", checkProcessor(host(), "x64"), "warn", "unknown"],
  ["a new C library", checkLibc("2.36"), "ok", "2.36"],
  ["the oldest C library", checkLibc("2.17"), "ok", "2.17"],
  ["too old a C library", checkLibc("2.9"), "fail", "2.9"],
  ["another C library", checkLibc(undefined), "warn", "not glibc"],
  ["a fast disk", judgeSync("/d", [0.2, 0.2, 3]), "ok", "0.200 ms median, 3.000 ms worst of 3 in /d"],
  ["a slow disk", judgeSync("/d", [11, 12, 13]), "warn", "12.000 ms median"],
  ["a very slow disk", judgeSync("/d", [120, 100, 130]), "fail", "120.000 ms median"],
  ["a disk that ignores syncs", judgeSync("/d", [0.002, 0.003, 0.002]), "warn", "too fast to be true"],
  [
    "enough space",
    judgeSpace("/d", 50 * 2 ** 30, 100 * 2 ** 30),
    "ok",
    "51,200 MiB free of 102,400 MiB (50 %)",
  ],
  ["little space", judgeSpace("/d", 2 ** 30, 100 * 2 ** 30), "warn", "1,024 MiB free"],
  ["no space", judgeSpace("/d", 2 ** 20, 100 * 2 ** 30), "fail", "1 MiB free"],
];

describe("the doctor calls", () => {
  test.each(cases)("%s", (_, finding, verdict, found) => {
    expect(finding.verdict).toBe(verdict);
    expect(finding.found).toContain(found);
    expect(finding.fix === undefined).toBe(verdict === "ok");
  });
});

test("a data directory that does not exist yet is judged by its nearest parent", () => {
  expect(existingDirectory("/tmp/does/not/exist")).toBe("/tmp");
});
