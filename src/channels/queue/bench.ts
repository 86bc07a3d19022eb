/**
 * `node-x bench queue`: a load generator for queue nodes, ours and the originals, over the legacy or the neo protocol.
 *
 * It is a program that uses the client library as any other would, so it measures node and library together (for the node
 * alone there are redis-benchmark and `bun run bench queue`). Exit code 0 means that every call had its answer and every
 * record that was popped is one that this seed pushes. It uses one channel, and leaves what it does not pop.
 */
import { z } from "zod";
import { Exit, NxError } from "../../core/errors.ts";
import { helpText, publishReport, reportFlags, text } from "../../core/load/command.ts";
import {
  asksForHelp,
  defaultFlag,
  integerFlag,
  numberFlag,
  parseFlags,
  valueFlag,
} from "../../core/load/flags.ts";
import { showProgress } from "../../core/load/progress.ts";
import { buildReport, type LoadReport } from "../../core/load/report.ts";
import type { BenchCommand } from "../../core/role.ts";
import { seededRandom } from "../../core/seams/random.ts";
import { realWorld } from "../../core/seams/world-real.ts";
import { readBounded, readNamed } from "../../core/secret-file.ts";
import type { Terminal } from "../../core/terminal.ts";
import { neoQueue, type NodeAddress, parseNodesFile, QueueClient, readOwnCredential } from "../client.ts";
import { type QueueLoadOptions, RECORD_BYTES_MIN, runQueueLoad } from "./load.ts";

const COMMAND = "node-x bench queue";
const DEFAULT_SECONDS = 10;
const FILE_BYTES_MAX = 1024 * 1024;
/** Requests that wait for a connection: all of them are this command's own. */
const QUEUE_BYTES_MAX = 2 ** 31;

export const queueBenchFlags = z.object({
  host: defaultFlag(text, "HOST", "Address of the node", "127.0.0.1"),
  port: defaultFlag(integerFlag(1, 65_535), "PORT", "Its port; with --credentials its neo port", "10020"),
  nodes: valueFlag(text, "FILE", "Nodes file instead: one address:port a line"),
  credentials: valueFlag(text, "FILE", "Use the neo protocol, as the one name:hex of this file"),
  ca: valueFlag(text, "FILE", "Use TLS; PEM file with the authorities of the nodes' certificates"),
  connections: defaultFlag(integerFlag(1, 10_000), "N", "Connections to each node", "50"),
  concurrency: defaultFlag(integerFlag(1, 100_000), "N", "Calls under way at once", "50"),
  operations: defaultFlag(
    z.enum(["push", "pop", "mixed"], "push, pop or mixed"),
    "KIND",
    "What is called: push, pop, or mixed: one of each in turn",
    "mixed",
  ),
  channel: defaultFlag(text, "NAME", "The channel", "bench"),
  valueBytes: defaultFlag(integerFlag(RECORD_BYTES_MIN, 10 * 1024 * 1024), "N", "Size of a record", "64"),
  requests: valueFlag(integerFlag(1, 1e12), "N", "Stop after this many calls"),
  seconds: valueFlag(
    numberFlag(0.001, 1e6),
    "S",
    `Stop after this time (${DEFAULT_SECONDS} without --requests)`,
  ),
  rate: valueFlag(
    numberFlag(0.001, 1e8),
    "N",
    "Calls per second at a fixed pace; latencies count from when each was due",
  ),
  ...reportFlags,
  seed: defaultFlag(integerFlag(0, 2 ** 32 - 1), "N", "Decides the bytes of records", "1"),
});

type Flags = z.output<typeof queueBenchFlags>;

const examples = [
  ["node-x bench queue", "Ten seconds of pushes and pops against this host's queue node"],
  ["node-x bench queue --nodes etc/queue.nodes --rate 5000 --chart latency.svg", "A system, at a fixed load"],
  ["node-x bench queue --port 10120 --credentials etc/client.credentials", "The neo protocol"],
] as const;

function connect(flags: Flags, nodes: readonly NodeAddress[]): QueueClient {
  const world = realWorld();
  const { credentials, ca, connections } = flags;
  return new QueueClient(world, {
    nodes,
    connections,
    queueBytesMax: QUEUE_BYTES_MAX,
    ...(credentials !== undefined && neoQueue(world, readOwnCredential(credentials))),
    ...(ca !== undefined && { tls: { ca: readBounded(ca, FILE_BYTES_MAX) } }),
  });
}

function shownOptions(flags: Flags): LoadReport["options"] {
  const { json: _json, chart: _chart, credentials, nodes: _nodes, host: _host, port: _port, ...rest } = flags;
  const options = {
    ...rest,
    protocol: credentials === undefined ? "legacy" : "neo",
    loop: flags.rate === undefined ? "closed" : "open",
  };
  return Object.fromEntries(
    Object.entries(options).filter(([, value]) => value !== undefined),
  ) as LoadReport["options"];
}

async function measure(flags: Flags, terminal: Terminal): Promise<LoadReport> {
  const { clock } = realWorld();
  const nodes =
    flags.nodes === undefined
      ? [{ host: flags.host, port: flags.port }]
      : parseNodesFile(readNamed("--nodes", flags.nodes, FILE_BYTES_MAX), flags.nodes);
  const client = connect(flags, nodes);
  let stopProgress = () => {};
  const options: QueueLoadOptions = {
    channel: flags.channel,
    valueBytes: flags.valueBytes,
    concurrency: flags.concurrency,
    operations: flags.operations,
    requests: flags.requests,
    seconds: flags.seconds ?? (flags.requests === undefined ? DEFAULT_SECONDS : undefined),
    ratePerSecond: flags.rate,
    signal: terminal.interrupted,
    onStart: (recorder) => (stopProgress = showProgress(terminal.stderr, clock, "measuring", recorder)),
  };
  try {
    const startedAtMs = clock.nowMs();
    const cpuBefore = process.cpuUsage();
    const recorder = await runQueueLoad(client, { clock, random: seededRandom(flags.seed) }, options);
    const endMs = clock.monotonicMs();
    const cpu = process.cpuUsage(cpuBefore);
    if (recorder.replies === 0 && recorder.errors.size > 0)
      throw new NxError("NX_CONNECT_FAILED", [...recorder.errors.keys()].join("; "), {
        hint: "does a queue node listen there, and is it the port of this protocol?",
      });
    return buildReport(recorder, {
      tool: COMMAND,
      startedAtMs,
      address: nodes.map(({ host, port }) => `${host}:${port}`).join(" "),
      server: nodes.length === 1 ? "a queue node" : `${nodes.length} queue nodes`,
      options: shownOptions(flags),
      endMs,
      generatorCpuSeconds: (cpu.user + cpu.system) / 1e6,
    });
  } finally {
    stopProgress();
    client.close();
  }
}

const bench: BenchCommand = async (argv, terminal) => {
  if (asksForHelp(argv)) {
    const summary = "Measure queue nodes through the client library: throughput and latency percentiles";
    terminal.stdout.write(helpText({ command: COMMAND, summary, flags: queueBenchFlags, examples }));
    return Exit.ok;
  }
  const flags = parseFlags(queueBenchFlags, argv, COMMAND);
  const report = await measure(flags, terminal);
  publishReport(report, flags, terminal);
  return report.succeeded ? Exit.ok : Exit.failed;
};

export default bench;
