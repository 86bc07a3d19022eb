/**
 * `bun run bench stream-ends`: how fast one worker takes records out of one place and brings them, with its checkpoints, to
 * another: from queue to queue of a node of ours, and from stream to stream of one and of three nats-servers.
 *
 * The input is there before the worker starts; the time is from its start until the last record is in the output, so it
 * includes the start and the last checkpoint. What the ends promise differs (docs/streams.md), so nothing is judged.
 */
import { mkdirSync } from "node:fs";
import { z } from "zod";
import { ensurePrograms } from "../../build.ts";
import { defaultFlag, integerFlag } from "../../src/core/load/flags.ts";
import { RawClient } from "../channels/wire/resp/raw.ts";
import { NatsServers } from "../core/nats/servers.ts";
import { until } from "../e2e/executable.ts";
import { NodeDirectory } from "../e2e/node-process.ts";
import { benchCommand } from "./command.ts";
import { median } from "./compare.ts";
import { benchDirectory } from "./servers.ts";
import { BenchWorker } from "./stream-workers.ts";

const flags = z.object({
  rounds: defaultFlag(integerFlag(1, 100), "N", "Measurements of each", "3"),
  records: defaultFlag(
    integerFlag(1000, 10_000_000),
    "N",
    "Records of 64 bytes in one measurement",
    "100000",
  ),
});

const RECORD = Buffer.alloc(64, "r");
const FILL_AT_ONCE = 500;
const LIMIT_MS = 600_000;

interface Ends {
  settings: Record<string, unknown>;
  /** Makes an input of so many records and an empty output. */
  fill(records: number): Promise<void>;
  /** Records in the output. */
  arrived(): Promise<number>;
}

async function queueEnds(directory: NodeDirectory): Promise<Ends> {
  const node = await directory.start({ respPort: 0 });
  const client: RawClient = await node.connect();
  const place = `queue://127.0.0.1:${node.ports["port"]}`;
  return {
    settings: { sources: [`In=${place}/in?pollMs=10`], sinks: [`Out=${place}/out`] },
    async fill(records) {
      await client.command("DEL", "in", "out");
      for (let sent = 0; sent < records; sent += FILL_AT_ONCE)
        await client.command(
          "RPUSH",
          "in",
          ...Array.from({ length: Math.min(FILL_AT_ONCE, records - sent) }, () => RECORD),
        );
    },
    arrived: async () => Number(String(await client.command("LLEN", "out")).slice(1)),
  };
}

function natsEnds(nats: NatsServers): Ends {
  const { jetstream, manager } = nats.session;
  let round = 0;
  const ends: Ends = {
    settings: {},
    async fill(records) {
      round += 1;
      const [input, output] = [`in${round}`, `out${round}`];
      for (const stream of [input, output]) await nats.addStream(stream);
      ends.settings = { nats: nats.settings, sources: [`In=nats:${input}`], sinks: [`Out=nats:${output}`] };
      for (let sent = 0; sent < records; sent += FILL_AT_ONCE)
        await Promise.all(
          Array.from({ length: Math.min(FILL_AT_ONCE, records - sent) }, () =>
            jetstream.publish(input, RECORD),
          ),
        );
    },
    arrived: async () => (await manager.streams.info(`out${round}`)).state.messages,
  };
  return ends;
}

async function secondsOf(ends: Ends, records: number): Promise<number> {
  await ends.fill(records);
  const startedMs = performance.now();
  const worker = BenchWorker.start({ app: "passthrough", checkpointMs: 200, ...ends.settings });
  try {
    await until("all records", async () => (await ends.arrived()) >= records || undefined, LIMIT_MS);
    return (performance.now() - startedMs) / 1000;
  } finally {
    await worker.stop();
  }
}

export const benchStreamEnds = benchCommand({
  name: "stream-ends",
  summary: "Compare a worker between queues of our own with one between JetStream streams",
  flags,
  async run({ rounds, records }) {
    await ensurePrograms([{ program: "nats-server", package: "nats-server" }]);
    mkdirSync(benchDirectory, { recursive: true });
    using directory = new NodeDirectory("queue");
    await using one = await NatsServers.start(1, "", {}, benchDirectory);
    await using three = await NatsServers.start(3, "", {}, benchDirectory);
    const contenders: [string, Ends][] = [
      ["queue to queue, log in files", await queueEnds(directory)],
      ["stream to stream, 1 nats-server", natsEnds(one)],
      ["stream to stream, 3 nats-servers", natsEnds(three)],
    ];
    const seconds = contenders.map(() => [] as number[]);
    for (let round = 0; round < rounds; round++)
      for (const [index, [, ends]] of contenders.entries())
        seconds[index]?.push(await secondsOf(ends, records));
    for (const [index, [name]] of contenders.entries()) {
      const rate = records / median(seconds[index] ?? []);
      console.log(`${name.padEnd(44)} ${Math.round(rate).toLocaleString("en-US").padStart(10)} records/s`);
    }
  },
});
