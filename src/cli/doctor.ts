/**
 * `node-x doctor`: is this host fit to run node-x? Measures, judges, says what to change. Changes nothing.
 */
import { resolve } from "node:path";
import { Exit } from "../core/errors.ts";
import type { Finding, Verdict } from "../core/doctor/finding.ts";
import { colorsFor, printJson, printTable, type Colors } from "./print.ts";
import { defineVerb } from "./verb.ts";

const DEFAULT_CONNECTIONS = 5000;

export const doctorVerb = defineVerb({
  name: "doctor",
  summary: "Check whether this host is fit: limits, disk, clock, ports, processor; with a fix for each fault",
  description:
    "With configuration files it checks their data directories, ports and connection limits, else the current directory. " +
    "Exit code 1 when something must be fixed; warnings alone are 0.",
  args: {
    set: { type: "string", valueHint: "KEY=VALUE", description: "Set a key, as for `run`; may be repeated" },
    json: { type: "boolean", description: "Print JSON" },
  },
  repeatable: ["set"],
  variadic: "FILE",
  examples: [
    { command: "node-x doctor", shows: "Check this host" },
    {
      command: "node-x doctor configs/local --json",
      shows: "Check it for every instance of a cluster, for programs",
    },
  ],
  async run(call) {
    const { args, rest, stdout, environment, workingDirectory } = call;
    const findings = await examine(rest, call.all("set"), environment, workingDirectory);
    const isFit = findings.every((finding) => finding.verdict !== "fail");
    if (args.json) printJson(stdout, { ok: isFit, findings });
    else print(findings, stdout, colorsFor(stdout, environment));
    return isFit ? Exit.ok : Exit.failed;
  },
});

async function examine(
  words: readonly string[],
  sets: string[],
  environment: Record<string, string | undefined>,
  workingDirectory: string,
): Promise<Finding[]> {
  const host = await import("../core/doctor/host.ts");
  const disk = await import("../core/doctor/disk.ts");
  const probe = host.hostProbe;
  const loaded = await loadAll(words, sets, environment, workingDirectory);
  const directories =
    loaded.length === 0
      ? [workingDirectory]
      : [...new Set(loaded.map(({ dataDir }) => disk.existingDirectory(dataDir)))];
  const connections = loaded.map(({ config }) => (config.limits as { connections: number }).connections);
  const findings = [
    host.checkOpenFiles(probe, Math.max(...connections, loaded.length === 0 ? DEFAULT_CONNECTIONS : 0)),
    host.checkBacklog(probe),
    host.checkHugePages(probe),
    host.checkOvercommit(probe),
    host.checkMemfd(probe),
    host.checkClock(probe),
    host.checkProcessor(probe, process.arch),
    host.checkLibc(host.libcVersion()),
    await nativeFinding(),
  ];
  // One after the other: parallel syncs would measure each other.
  for (const directory of directories)
    findings.push(await disk.checkSync(directory, probe.clock), disk.checkSpace(directory));
  const { checkPort, portsOf } = await import("../core/doctor/ports.ts");
  for (const use of loaded.flatMap(portsOf)) findings.push(await checkPort(use));
  return findings;
}

async function loadAll(
  words: readonly string[],
  sets: string[],
  environment: Record<string, string | undefined>,
  workingDirectory: string,
) {
  if (words.length === 0) return [];
  const { filesOf } = await import("./config-files.ts");
  const { loadConfig } = await import("../core/config/load.ts");
  const { schemaCatalog } = await import("../roles.ts");
  const files = words.flatMap((word) => filesOf(word, workingDirectory));
  return await Promise.all(
    files.map((file) =>
      loadConfig({ file, environment, sets, workingDirectory: resolve(workingDirectory) }, schemaCatalog),
    ),
  );
}

/**
 * The C library really loads here: noexec mounts, seccomp and MemoryDenyWriteExecute show only when it is
 * tried.
 */
async function nativeFinding(): Promise<Finding> {
  const { fail, ok } = await import("../core/doctor/finding.ts");
  const { asNxError } = await import("./print.ts");
  const { linked, NATIVE_ABI } = await import("../native/library.ts");
  try {
    linked({ nx_abi: { args: [], returns: "u32" } })();
    return ok("native", `the C library loads (ABI ${NATIVE_ABI})`);
  } catch (thrown) {
    const error = asNxError(thrown);
    return fail("native", error.message, error.hint ?? "copy the executable to this host again");
  }
}

function print(findings: readonly Finding[], stdout: Parameters<typeof printTable>[0], colors: Colors): void {
  const words: Record<Verdict, string> = {
    ok: colors.green("ok"),
    warn: colors.yellow("warn"),
    fail: colors.red("fail"),
  };
  const rows = findings.map((finding) => [
    words[finding.verdict],
    finding.name,
    finding.found,
    finding.fix ?? "",
  ]);
  if (!stdout.isTty) return printTable(stdout, [], rows, colors);
  // Fixes are long: on a terminal they stand below what they fix.
  printTable(
    stdout,
    ["VERDICT", "CHECK", "FOUND"],
    rows.map((row) => row.slice(0, 3)),
    colors,
  );
  const faults = findings.filter((finding) => finding.fix !== undefined);
  if (faults.length > 0) stdout.write("\n");
  for (const fault of faults) stdout.write(`${words[fault.verdict]} ${fault.name}: ${fault.fix}\n`);
}
