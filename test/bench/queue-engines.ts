/**
 * `bun run bench queue --engine=jetstream`: the queue node with its log in files, in a stream of one nats-server, and in one of
 * three, all on this host, under redis-benchmark with 50 connections.
 *
 * Every answer waits for its engine: a sync of the disk for files, the stream's acknowledgement for JetStream, which by
 * default syncs nothing (docs/durability.md). So these are prices of different promises, and nothing is judged. Rounds of
 * the engines take turns; medians are told.
 */
import { mkdirSync } from "node:fs";
import { NatsServers } from "../core/nats/servers.ts";
import { median } from "./compare.ts";
import { redisBenchmark, type Sample } from "./redis-benchmark.ts";
import { benchDirectory, type BenchServer, startServers } from "./servers.ts";

const VALUE_BYTES = 64;
const OPERATIONS = ["lpush", "rpop"] as const;
const RING_BYTES = 4 * 2 ** 30;

interface Contender {
  name: string;
  server: BenchServer;
}

async function startContender(name: string, nats: NatsServers | undefined): Promise<Contender> {
  const engine = nats && { jetstream: { ...nats.settings, stream: "bench", replicas: nats.count } };
  const settings = { channels: { ringBytes: RING_BYTES }, ...(engine !== undefined && { engine }) };
  return { name, server: await startServers["node-x"]("log", settings, "queue") };
}

export async function compareEngines(rounds: number, requests: number): Promise<void> {
  mkdirSync(benchDirectory, { recursive: true });
  await using one = await NatsServers.start(1, "", {}, benchDirectory);
  await using three = await NatsServers.start(3, "", {}, benchDirectory);
  const contenders: Contender[] = [];
  try {
    contenders.push(await startContender("files", undefined));
    contenders.push(await startContender("1 nats-server", one));
    contenders.push(await startContender("3 nats-servers", three));
    for (const pipeline of [1, 16]) await comparePipeline(contenders, pipeline, rounds, requests);
  } finally {
    for (const { server } of contenders) await server.stop();
  }
}

async function comparePipeline(
  contenders: readonly Contender[],
  pipeline: number,
  rounds: number,
  requests: number,
): Promise<void> {
  const samples = contenders.map(() => ({ lpush: [] as Sample[], rpop: [] as Sample[] }));
  for (let round = 0; round < rounds; round++)
    for (const turn of contenders.keys()) {
      const index = (turn + round) % contenders.length;
      const { server } = contenders[index] as Contender;
      for (const operation of OPERATIONS)
        samples[index]?.[operation].push(
          await redisBenchmark(server, { operation, valueBytes: VALUE_BYTES, pipeline }, requests),
        );
    }
  for (const operation of OPERATIONS)
    for (const [index, { name }] of contenders.entries()) {
      const of = samples[index]?.[operation] ?? [];
      const middle = (pick: (sample: Sample) => number) => median(of.map(pick));
      const rate = middle(({ requestsPerSecond }) => requestsPerSecond);
      console.log(
        `${`${operation.toUpperCase()} 64 B P${pipeline}, log in ${name}`.padEnd(44)} ` +
          `${Math.round(rate).toLocaleString("en-US").padStart(10)}/s  ` +
          `p50 ${middle(({ p50Ms }) => p50Ms).toFixed(2)} ms, p99 ${middle(({ p99Ms }) => p99Ms).toFixed(2)} ms, ` +
          `${middle((each) => each.cpuMicrosecondsPerRequest).toFixed(1)} us CPU of the node`,
      );
    }
}
