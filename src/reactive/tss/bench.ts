/**
 * `node-x bench tss`: callers that ask a group of timestamp servers without a pause, and how long each waited.
 *
 * Exit code 0 means that every call got a timestamp, none twice, and each caller's own only ever grew.
 */
import { z } from "zod";
import { parseAddress } from "../../core/config/group-file.ts";
import { Exit } from "../../core/errors.ts";
import {
  asksForHelp,
  defaultFlag,
  flagHelp,
  integerFlag,
  numberFlag,
  parseFlags,
  valueFlag,
} from "../../core/load/flags.ts";
import { writeOutput } from "../../core/load/output.ts";
import { showProgress } from "../../core/load/progress.ts";
import { Recorder } from "../../core/load/recorder.ts";
import { buildReport, type LoadReport } from "../../core/load/report.ts";
import { reportLines } from "../../core/load/table.ts";
import type { BenchCommand } from "../../core/role.ts";
import { realWorld } from "../../core/seams/world-real.ts";
import { readSecret } from "../../core/secret-file.ts";
import { GroupClient } from "../replication/group-client.ts";
import { TimestampClient } from "./client.ts";

const COMMAND = "node-x bench tss";

const addresses = z
  .string()
  .refine((text) => text.split(",").every((each) => typeof parseAddress(each) !== "string"), {
    error: "addresses with ports, with commas between, such as host0:12348,host1:12348",
  })
  .transform((text) => text.split(",").map((each) => parseAddress(each) as { host: string; port: number }));

const flags = z.object({
  replicas: defaultFlag(addresses, "LIST", "Addresses of all replicas, in their order", "127.0.0.1:12348"),
  connections: defaultFlag(integerFlag(1, 1000), "N", "Clients, each with its own connections", "4"),
  callers: defaultFlag(integerFlag(1, 10_000), "N", "Callers of each client; they share its requests", "16"),
  seconds: defaultFlag(numberFlag(0.1, 1e6), "S", "Length of the measurement", "10"),
  tokenFile: valueFlag(z.string(), "FILE", "File with the token, private to you"),
  json: valueFlag(z.string(), "FILE", "Write the figures as JSON; - is standard output"),
});
type Flags = z.output<typeof flags>;

function help(): string {
  return [
    "Measure a group of timestamp servers: timestamps per second and how long each took",
    "",
    "Usage",
    `  ${COMMAND} [OPTION…]`,
    "",
    "Options",
    ...flagHelp(flags),
    "",
  ].join("\n");
}

/** Asks until `endMs`; returns false when a timestamp came twice or a later one was smaller. */
async function call(client: TimestampClient, recorder: Recorder, endMs: number): Promise<boolean> {
  const { clock } = realWorld();
  let last = 0;
  let isGrowing = true;
  while (clock.monotonicMs() < endMs) {
    const startMs = clock.monotonicMs();
    recorder.requests++;
    const timestamp = await client.next();
    recorder.reply(0, clock.monotonicMs() - startMs);
    isGrowing &&= timestamp > last;
    last = timestamp;
  }
  return isGrowing;
}

async function measure(options: Flags, clients: TimestampClient[], recorder: Recorder): Promise<LoadReport> {
  const { clock } = realWorld();
  const startedAtMs = clock.nowMs();
  const cpuBefore = process.cpuUsage();
  const endMs = recorder.startMs + options.seconds * 1000;
  const calls = clients.flatMap((client) =>
    Array.from({ length: options.callers }, () => call(client, recorder, endMs)),
  );
  const areGrowing = await Promise.all(calls);
  if (areGrowing.includes(false)) recorder.error("a caller got a smaller timestamp after a larger one");
  const cpu = process.cpuUsage(cpuBefore);
  return buildReport(recorder, {
    tool: COMMAND,
    startedAtMs,
    address: options.replicas.map(({ host, port }) => `${host}:${port}`).join(","),
    server: "timestamp servers",
    options: { connections: options.connections, callers: options.callers, loop: "closed" },
    endMs: clock.monotonicMs(),
    generatorCpuSeconds: (cpu.user + cpu.system) / 1e6,
  });
}

const bench: BenchCommand = async (argv, terminal) => {
  if (asksForHelp(argv)) {
    terminal.stdout.write(help());
    return Exit.ok;
  }
  const options = parseFlags(flags, argv, COMMAND);
  const { tokenFile, replicas } = options;
  const token = tokenFile === undefined ? undefined : readSecret("--token-file", tokenFile);
  const world = realWorld();
  const groups = Array.from(
    { length: options.connections },
    () => new GroupClient({ world, replicas, group: "tss", ...(token !== undefined && { token }) }),
  );
  try {
    const clients = groups.map((group) => new TimestampClient(group));
    await Promise.all(clients.map((client) => client.next()));
    const recorder = new Recorder(["next"], world.clock.monotonicMs());
    const stopProgress = showProgress(terminal.stderr, world.clock, "measuring", recorder);
    const report = await measure(options, clients, recorder);
    stopProgress();
    const json = `${JSON.stringify(report, null, 2)}\n`;
    terminal.stdout.write(options.json === "-" ? json : `${reportLines(report).join("\n")}\n`);
    if (options.json !== undefined && options.json !== "-") writeOutput(options.json, json);
    return report.succeeded ? Exit.ok : Exit.failed;
  } finally {
    for (const group of groups) group.close();
  }
};

export default bench;
