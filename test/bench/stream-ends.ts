/**
 * `bun run bench stream-ends`: how fast one worker takes records out of one place and brings them, with its checkpoints, to
 * another: from queue to queue of a node of ours, and from stream to stream of one and of three nats-servers.
 *
 * The input is there before the worker starts; the time is from its start until the last record is in the output, so it
 * includes the start and the last checkpoint. What the ends promise differs (docs/streams.md), so nothing is judged. Each
 * measurement is told when it is done; one that makes no progress for ten seconds ends the benchmark, with what the worker
 * says of its ends.
 */
import { mkdirSync } from "node:fs";
import { z } from "zod";
import { ensurePrograms } from "../../build.ts";
import { defaultFlag, integerFlag } from "../../src/core/load/flags.ts";
import { RawClient } from "../channels/wire/resp/raw.ts";
import { NatsServers } from "../core/nats/servers.ts";
import { NodeDirectory } from "../e2e/node-process.ts";
import { benchCommand } from "./command.ts";
import { median } from "./compare.ts";
import { benchDirectory } from "./servers.ts";
import { BenchWorker } from "./stream-workers.ts";

const flags = z.object({
  rounds: defaultFlag(integerFlag(1, 100), "N", "Measurements of each", "3"),
  records: defaultFlag(integerFlag(1000, 10_000_000), "N", "Records of 64 bytes in one measurement", "20000"),
});

const RECORD = Buffer.alloc(64, "r");
const FILL_AT_ONCE = 500;
const CHECKPOINT_MS = 200;
const LOOK_MS = 10;
const STILL_MS = 10_000;
/** Rings for any number of records that the flag allows. */
const RING_BYTES = 2 ** 30;

interface Ends {
  name: string;
  settings: Record<string, unknown>;
  /** Makes an input of so many records and an empty output. */
  fill(records: number): Promise<void>;
  /** Records in the output. */
  arrived(): Promise<number>;
}

/** Calls `send` for so many records, some at once. */
async function inPieces(records: number, send: (count: number) => Promise<unknown>): Promise<void> {
  for (let sent = 0; sent < records; sent += FILL_AT_ONCE) await send(Math.min(FILL_AT_ONCE, records - sent));
}

async function queueEnds(directory: NodeDirectory): Promise<Ends> {
  const node = await directory.start({ respPort: 0, channels: { ringBytes: RING_BYTES } });
  const client: RawClient = await node.connect();
  const place = `queue://127.0.0.1:${node.ports["port"]}`;
  const ask = async (...words: (string | Uint8Array)[]): Promise<number> => {
    const answer = String(await client.command(...words));
    if (!answer.startsWith(":")) throw new Error(`${String(words[0])}: ${answer}`);
    return Number(answer.slice(1));
  };
  return {
    name: "queue to queue, log in files",
    settings: { sources: [`In=${place}/in?pollMs=10`], sinks: [`Out=${place}/out`] },
    async fill(records) {
      await ask("DEL", "in", "out");
      await inPieces(records, (count) => ask("RPUSH", "in", ...Array.from({ length: count }, () => RECORD)));
    },
    arrived: () => ask("LLEN", "out"),
  };
}

function natsEnds(nats: NatsServers): Ends {
  const { jetstream, manager } = nats.session;
  let round = 0;
  const ends: Ends = {
    name: `stream to stream, ${nats.count} nats-server${nats.count === 1 ? "" : "s"}`,
    settings: {},
    async fill(records) {
      round += 1;
      const [input, output] = [`in${round}`, `out${round}`];
      for (const stream of [input, output]) await nats.addStream(stream);
      ends.settings = { nats: nats.settings, sources: [`In=nats:${input}`], sinks: [`Out=nats:${output}`] };
      await inPieces(records, (count) =>
        Promise.all(Array.from({ length: count }, () => jetstream.publish(input, RECORD))),
      );
    },
    arrived: async () => (await manager.streams.info(`out${round}`)).state.messages,
  };
  return ends;
}

/** Resolves when everything has arrived. Throws when nothing arrives for too long. */
async function untilArrived(ends: Ends, records: number, worker: BenchWorker): Promise<void> {
  let [before, movedAtMs] = [0, performance.now()];
  for (let arrived = 0; arrived < records; await Bun.sleep(LOOK_MS)) {
    arrived = await ends.arrived();
    if (arrived !== before) [before, movedAtMs] = [arrived, performance.now()];
    else if (performance.now() - movedAtMs > STILL_MS)
      throw new Error(`${ends.name}: ${arrived} of ${records} records arrived: ${await worker.ends()}`);
  }
}

async function secondsOf(ends: Ends, records: number): Promise<number> {
  const startedMs = performance.now();
  const worker = BenchWorker.start({ app: "passthrough", checkpointMs: CHECKPOINT_MS, ...ends.settings });
  try {
    await untilArrived(ends, records, worker);
    return (performance.now() - startedMs) / 1000;
  } finally {
    await worker.stop();
  }
}

const rateText = (records: number, seconds: number) =>
  `${Math.round(records / seconds)
    .toLocaleString("en-US")
    .padStart(10)} records/s`;

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
    const contenders = [await queueEnds(directory), natsEnds(one), natsEnds(three)];
    const seconds = contenders.map(() => [] as number[]);
    for (let round = 1; round <= rounds; round++)
      for (const [index, ends] of contenders.entries()) {
        const fillMs = performance.now();
        await ends.fill(records);
        const filled = `filled in ${((performance.now() - fillMs) / 1000).toFixed(1)} s`;
        const taken = await secondsOf(ends, records);
        seconds[index]?.push(taken);
        console.log(`  round ${round}: ${ends.name.padEnd(40)} ${rateText(records, taken)}  (${filled})`);
      }
    for (const [index, { name }] of contenders.entries())
      console.log(`${name.padEnd(44)} ${rateText(records, median(seconds[index] ?? []))}`);
  },
});
