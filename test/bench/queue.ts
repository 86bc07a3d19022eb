/**
 * `bun run bench queue`: the queue node beside redis-server (LPUSH and RPOP of one list, by redis-benchmark) and, where it
 * is installed, beside beanstalkd with every put synced.
 *
 * Rounds of both servers alternate; medians are compared. Each round pushes and then pops the same number, so lists begin
 * and end empty. One round before them is not measured: a runtime compiles what is called often, on threads of its
 * own, which is 5 % of that round's CPU time and next to nothing of the third's. Exit code 1 when a floor is not held;
 * without beanstalkd its line is not measured, and said so.
 *
 * `--engine=jetstream` compares engines of the node instead (queue-engines.ts).
 */
import { z } from "zod";
import { defaultFlag, integerFlag, numberFlag } from "../../src/core/load/flags.ts";
import { ensurePrograms } from "../../build.ts";
import { benchCommand, type Report } from "./command.ts";
import { median } from "./compare.ts";
import { compareEngines } from "./queue-engines.ts";
import { redisBenchmark, type Sample } from "./redis-benchmark.ts";
import { type BenchServer, startBeanstalkd, startServers } from "./servers.ts";
import type { Limit } from "./verdict.ts";

const flags = z.object({
  rounds: defaultFlag(integerFlag(1, 100), "N", "Interleaved rounds", "5"),
  requests: defaultFlag(integerFlag(100, 1e9), "N", "Pushes of a round, and as many pops", "300000"),
  seconds: defaultFlag(numberFlag(0.1, 600), "S", "Length of one durable measurement", "3"),
  engine: defaultFlag(
    z.enum(["builtin", "jetstream"], "builtin or jetstream"),
    "KIND",
    "builtin: beside other servers. jetstream: the node's log in streams beside its log in files",
    "builtin",
  ),
});

const VALUE_BYTES = 64;
const CONNECTIONS = 50;
const OPERATIONS = ["lpush", "rpop"] as const;

const throughputLimit: Limit = { name: "throughput to redis", better: "higher", floor: 1.2, goal: 1.5 };
const cpuLimit: Limit = { name: "CPU per operation to redis", better: "lower", floor: 1, goal: 0.75 };
const durableLimit: Limit = { name: "durable puts to beanstalkd", better: "higher", floor: 2 };

async function compareMemory(rounds: number, requests: number, report: Report): Promise<void> {
  const servers = [
    await startServers["node-x"]("memory", { channels: { ringBytes: 4 * 2 ** 30 } }, "queue"),
    await startServers.redis("memory"),
  ];
  const run = (server: BenchServer, operation: (typeof OPERATIONS)[number], pipeline: number) =>
    redisBenchmark(server, { operation, valueBytes: VALUE_BYTES, pipeline }, requests);
  try {
    for (const server of servers) for (const operation of OPERATIONS) await run(server, operation, 1);
    for (const pipeline of [1, 16]) {
      const samples = servers.map(() => ({ lpush: [] as Sample[], rpop: [] as Sample[] }));
      for (let round = 0; round < rounds; round++) {
        // Turns change, so that neither is always the one behind a pause.
        const turns = [...servers.entries()];
        if (round % 2 === 1) turns.reverse();
        for (const [index, server] of turns)
          for (const operation of OPERATIONS)
            samples[index]?.[operation].push(await run(server, operation, pipeline));
      }
      for (const operation of OPERATIONS) {
        const [ours, theirs] = samples.map((of) => ({
          rate: median(of[operation].map(({ requestsPerSecond }) => requestsPerSecond)),
          cpu: median(of[operation].map((each) => each.cpuMicrosecondsPerRequest)),
          p99Ms: median(of[operation].map((each) => each.p99Ms)),
        }));
        if (ours === undefined || theirs === undefined) continue;
        const line = `${operation.toUpperCase()} 64 B P${pipeline}`;
        const both = (show: (figures: NonNullable<typeof ours>) => string) =>
          `${show(ours)} to ${show(theirs)}`;
        const text = [
          `${both(({ rate }) => (rate / 1000).toFixed(0))} k/s`,
          `${both(({ cpu }) => cpu.toFixed(2))} us CPU`,
          `p99 ${both(({ p99Ms }) => p99Ms.toFixed(2))} ms`,
        ].join(", ");
        if (pipeline === 16) report(throughputLimit, line, ours.rate / theirs.rate, text);
        else report(cpuLimit, line, ours.cpu / theirs.cpu, text);
      }
    }
  } finally {
    for (const server of servers) await server.stop();
  }
}

/** Pushes from many connections, `pipeline` at a time; every answer is one line. Returns answers per second. */
async function measurePuts(
  server: BenchServer,
  request: Uint8Array,
  isAnswer: (line: string) => boolean,
  pipeline: number,
  seconds: number,
): Promise<number> {
  const block = Buffer.concat(Array.from({ length: pipeline }, () => request));
  let answers = 0;
  let isStopped = false;
  const sockets = await Promise.all(
    Array.from({ length: CONNECTIONS }, () => {
      let [missing, rest] = [pipeline, ""];
      let unsent: Uint8Array = new Uint8Array(0);
      const sendBlock = (socket: Bun.Socket<undefined>) => {
        missing = pipeline;
        unsent = block.subarray(socket.write(block));
      };
      return Bun.connect<undefined>({
        hostname: "127.0.0.1",
        port: server.port,
        socket: {
          open: sendBlock,
          drain(socket) {
            if (unsent.byteLength > 0) unsent = unsent.subarray(socket.write(unsent));
          },
          data(socket, chunk) {
            const lines = (rest + chunk.toString("latin1")).split("\r\n");
            rest = lines.pop() ?? "";
            for (const line of lines)
              if (!isAnswer(line)) throw new Error(`${server.name} answered ${JSON.stringify(line)}`);
            missing -= lines.length;
            if (missing > 0) return;
            answers += pipeline;
            if (!isStopped) sendBlock(socket);
          },
        },
      });
    }),
  );
  const startMs = performance.now();
  await Bun.sleep(seconds * 1000);
  const perSecond = (answers * 1000) / (performance.now() - startMs);
  isStopped = true;
  for (const socket of sockets) socket.end();
  return perSecond;
}

const value = "v".repeat(VALUE_BYTES);
const rpush = Buffer.from(`*3\r\n$5\r\nRPUSH\r\n$1\r\nq\r\n$${VALUE_BYTES}\r\n${value}\r\n`);
const put = Buffer.from(`put 0 0 60 ${VALUE_BYTES}\r\n${value}\r\n`);

async function compareDurable(rounds: number, seconds: number, report: Report): Promise<void> {
  const beanstalkd = await startBeanstalkd();
  if (beanstalkd === undefined) {
    console.log(
      "durable puts: not measured, beanstalkd is not installed (Debian: apt-get install beanstalkd)",
    );
    return;
  }
  const ours = await startServers["node-x"]("log", { channels: { ringBytes: 8 * 2 ** 30 } }, "queue");
  try {
    for (const pipeline of [1, 16]) {
      const rates: [number[], number[]] = [[], []];
      for (let round = 0; round < rounds; round++) {
        rates[0].push(await measurePuts(ours, rpush, (line) => line.startsWith(":"), pipeline, seconds));
        rates[1].push(
          await measurePuts(beanstalkd, put, (line) => line.startsWith("INSERTED"), pipeline, seconds),
        );
      }
      const [left, right] = rates.map(median) as [number, number];
      const text = `${(left / 1000).toFixed(1)} to ${(right / 1000).toFixed(1)} k/s`;
      report(durableLimit, `durable put 64 B P${pipeline}`, left / right, text);
    }
  } finally {
    await ours.stop();
    await beanstalkd.stop();
  }
}

export const benchQueue = benchCommand({
  name: "queue",
  summary: "Compare the queue node with Redis and beanstalkd",
  flags,
  async run({ rounds, requests, seconds, engine }, report) {
    if (engine === "jetstream") {
      await ensurePrograms([{ program: "nats-server", package: "nats-server" }]);
      await compareEngines(rounds, requests);
      return;
    }
    await compareMemory(rounds, requests, report);
    await compareDurable(rounds, seconds, report);
  },
});
