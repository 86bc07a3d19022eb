/**
 * `node-x bench dht`: a load generator for Redis servers, the dht node among them.
 *
 * Exit code 0 means that every request has exactly one reply and none was an error or wrong. It writes keys of its own
 * prefix only, and leaves them. The seed decides keys, values and the order of operations.
 */
import { z } from "zod";
import { realClock } from "../../core/seams/clock.ts";
import { Exit, NxError } from "../../core/errors.ts";
import { helpText, publishReport, reportFlags, text } from "../../core/load/command.ts";
import {
  asksForHelp,
  defaultFlag,
  integerFlag,
  numberFlag,
  parseFlags,
  switchFlag,
  valueFlag,
} from "../../core/load/flags.ts";
import { showProgress } from "../../core/load/progress.ts";
import type { Recorder } from "../../core/load/recorder.ts";
import { buildReport, type LoadReport } from "../../core/load/report.ts";
import { realNet } from "../../core/seams/net-real.ts";
import { seededRandom } from "../../core/seams/random.ts";
import type { BenchCommand } from "../../core/role.ts";
import { readBounded, readSecret } from "../../core/secret-file.ts";
import type { Terminal } from "../../core/terminal.ts";
import type { Target } from "./load/connection.ts";
import { RespLoad, type Phase } from "./load/run.ts";

const COMMAND = "node-x bench dht";
const DEFAULT_SECONDS = 10;
const REPLY_TIMEOUT_MS = 10_000;
const PEM_BYTES_MAX = 1024 * 1024;

/** `set`, `get`, `mixed` or `mixed:SETS:GETS`, as the share of reads. */
const operations = z
  .string()
  .refine((value) => /^(set|get|mixed(:\d{1,6}:\d{1,6})?)$/.test(value) && !/:0+:0+$/.test(value), {
    error: "set, get, mixed or mixed:SETS:GETS such as mixed:1:10",
  })
  .transform((value) => {
    if (value === "set" || value === "get") return value === "get" ? 1 : 0;
    const [, sets = "1", gets = "1"] = value.split(":");
    return Number(gets) / (Number(sets) + Number(gets));
  });

const keyPrefix = z
  .string()
  .refine((value) => /^[\x21-\x7e]{0,64}$/.test(value), "up to 64 printable ASCII characters without spaces");

export const benchFlags = z.object({
  host: defaultFlag(text, "HOST", "Address of the server", "127.0.0.1"),
  port: defaultFlag(integerFlag(1, 65_535), "PORT", "Its port for the Redis protocol", "10200"),
  connections: defaultFlag(integerFlag(1, 10_000), "N", "Connections open at once", "50"),
  pipeline: defaultFlag(integerFlag(1, 10_000), "N", "Requests in flight on one connection", "1"),
  operations: defaultFlag(operations, "KIND", "What is sent: set, get, mixed or mixed:SETS:GETS", "mixed"),
  keys: defaultFlag(integerFlag(1, 1_000_000_000), "N", "Different keys, chosen at random", "100000"),
  keyPrefix: defaultFlag(keyPrefix, "TEXT", "First part of every key; twelve digits follow", "bench:"),
  valueBytes: defaultFlag(integerFlag(1, 64 * 1024 * 1024), "N", "Size of a value", "64"),
  requests: valueFlag(integerFlag(1, 1e12), "N", "Stop after this many requests"),
  seconds: valueFlag(
    numberFlag(0.001, 1e6),
    "S",
    `Stop after this time (${DEFAULT_SECONDS} without --requests)`,
  ),
  warmup: defaultFlag(numberFlag(0, 1e6), "S", "Run this long first, without counting", "0"),
  rate: valueFlag(
    numberFlag(0.001, 1e8),
    "N",
    "Requests per second at a fixed pace; latencies count from when each was due",
  ),
  preload: switchFlag("Write every key once first"),
  verify: switchFlag("Compare every value read with what this seed writes under its key"),
  channel: valueFlag(text, "NAME", "Channel to select instead of the first one"),
  passwordFile: valueFlag(text, "FILE", "File with the password, private to you"),
  tls: switchFlag("Connect with TLS"),
  ca: valueFlag(text, "FILE", "Authority that signed the server's certificate; implies --tls"),
  ...reportFlags,
  seed: defaultFlag(
    integerFlag(0, 2 ** 32 - 1),
    "N",
    "Decides keys, values and the order of operations",
    "1",
  ),
});

type Flags = z.output<typeof benchFlags>;

const examples = [
  ["node-x bench dht", "Ten seconds of reads and writes against this host's dht node"],
  [
    "node-x bench dht --operations get --preload --pipeline 16 --seconds 30",
    "Reads of records that exist, pipelined",
  ],
  [
    "node-x bench dht --rate 20000 --seconds 60 --chart latency.svg",
    "Latencies at a fixed load, with a chart",
  ],
] as const;

function targetOf(flags: Flags): Target {
  const { host, port, passwordFile, channel, tls, ca } = flags;
  return {
    host,
    port,
    ...(channel !== undefined && { channel }),
    ...(passwordFile !== undefined && { password: readSecret("--password-file", passwordFile) }),
    ...((tls || ca !== undefined) && { tls: ca === undefined ? {} : { ca: readBounded(ca, PEM_BYTES_MAX) } }),
  };
}

/** What INFO says the server is; the dht node tells its own version beside the Redis version it follows. */
async function serverName(load: RespLoad): Promise<string> {
  const info = await load.ask(["INFO", "server"]).catch(() => "");
  const field = (name: string) => new RegExp(`^${name}:(.+?)\\r?$`, "m").exec(info)?.[1];
  const own = field("node_x_version");
  if (own !== undefined) return `node-x ${own}`;
  const redis = field("redis_version");
  return redis === undefined ? "a Redis server" : `redis ${redis}`;
}

/** Runs a phase with its live line. */
async function runPhase(load: RespLoad, terminal: Terminal, label: string, phase: Phase): Promise<Recorder> {
  let stopProgress = () => {};
  const recorder = await load.run({
    ...phase,
    signal: terminal.interrupted,
    onStart(started) {
      stopProgress = showProgress(terminal.stderr, realClock, label, started);
    },
  });
  stopProgress();
  return recorder;
}

async function measure(load: RespLoad, flags: Flags, terminal: Terminal): Promise<LoadReport> {
  const server = await serverName(load);
  if (flags.preload) {
    const preload = { readShare: 0, isSequential: true, requests: flags.keys };
    const { replies, errors } = await runPhase(load, terminal, "writing every key", preload);
    if (!terminal.interrupted.aborted && (replies !== flags.keys || errors.size > 0)) {
      const reasons = [...errors.keys()].join("; ");
      throw new NxError(
        "NX_CHECK_FAILED",
        `only ${replies} of ${flags.keys} keys could be written: ${reasons}`,
      );
    }
  }
  const phase: Phase = {
    readShare: flags.operations,
    isPreloaded: flags.verify && flags.preload,
    ...(flags.rate !== undefined && { ratePerSecond: flags.rate }),
  };
  if (flags.warmup > 0) await runPhase(load, terminal, "warm-up", { ...phase, seconds: flags.warmup });
  const seconds = flags.seconds ?? (flags.requests === undefined ? DEFAULT_SECONDS : undefined);
  const startedAtMs = realClock.nowMs();
  const cpuBefore = process.cpuUsage();
  const recorder = await runPhase(load, terminal, "measuring", {
    ...phase,
    ...(flags.requests !== undefined && { requests: flags.requests }),
    ...(seconds !== undefined && { seconds }),
  });
  const endMs = realClock.monotonicMs();
  const cpu = process.cpuUsage(cpuBefore);
  return buildReport(recorder, {
    tool: COMMAND,
    startedAtMs,
    address: `${flags.host}:${flags.port}`,
    server,
    options: shownOptions(flags),
    endMs,
    generatorCpuSeconds: (cpu.user + cpu.system) / 1e6,
  });
}

function shownOptions(flags: Flags): LoadReport["options"] {
  const {
    host: _host,
    port: _port,
    operations: readShare,
    json: _json,
    chart: _chart,
    passwordFile,
    ...rest
  } = flags;
  const options: Record<string, string | number | boolean | undefined> = {
    ...rest,
    readShare,
    usesPassword: passwordFile !== undefined,
    loop: flags.rate === undefined ? "closed" : "open",
  };
  return Object.fromEntries(
    Object.entries(options).filter(([, value]) => value !== undefined),
  ) as LoadReport["options"];
}

const bench: BenchCommand = async (argv, terminal) => {
  if (asksForHelp(argv)) {
    const summary = "Measure a dht node, or any Redis server: throughput and latency percentiles";
    terminal.stdout.write(helpText({ command: COMMAND, summary, flags: benchFlags, examples }));
    return Exit.ok;
  }
  const flags = parseFlags(benchFlags, argv, COMMAND);
  const load = await RespLoad.connect(
    { net: realNet, clock: realClock, random: seededRandom(flags.seed) },
    targetOf(flags),
    {
      connections: flags.connections,
      pipeline: flags.pipeline,
      keyPrefix: flags.keyPrefix,
      keys: flags.keys,
      valueBytes: flags.valueBytes,
      isVerifying: flags.verify,
      replyTimeoutMs: REPLY_TIMEOUT_MS,
    },
  );
  try {
    const report = await measure(load, flags, terminal);
    publishReport(report, flags, terminal);
    return report.succeeded ? Exit.ok : Exit.failed;
  } finally {
    load.close();
  }
};

export default bench;
