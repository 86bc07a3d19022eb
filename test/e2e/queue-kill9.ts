/**
 * `kill -9` under a queue node: producers, consumers that pop and a group that acknowledges; the process is killed at a
 * random moment, the next one starts on the same directory, and the checker of crash/queue-simulation.ts compares.
 *
 * What the kernel has taken survives a killed process, so this shows that nothing is acknowledged before it was written;
 * power loss is the simulation's business.
 */
import { seededRandom } from "../../src/core/seams/random.ts";
import type { RawClient } from "../channels/wire/resp/raw.ts";
import { type Caller, check, ListKnowledge, StreamKnowledge } from "../crash/queue-simulation.ts";
import { NodeDirectory, type NodeProcess } from "./node-process.ts";

const PRODUCERS = 3;
const POPPERS = 3;
const LIFE_MS_MIN = 50;
const LIFE_SPREAD_MS = 500;

/** The node of a life, and how its clients fare. */
export interface Served {
  readonly node: NodeProcess;
  readonly acknowledged: number;
}

export interface QueueKill9Options {
  rounds: number;
  seed: number;
  durability?: "log" | "memory";
  /** Further keys of the node's configuration. */
  settings?: Record<string, unknown>;
  /** What happens in a life instead of some time. */
  life?(round: number, served: Served): Promise<void>;
}

/** Never settles once the node is gone, as a client that was cut off never hears. */
function callerOf(client: RawClient): Caller {
  return {
    call: (...words) =>
      client.command(...words).then(
        (reply) => reply.toString("latin1"),
        () => new Promise<never>(() => {}),
      ),
  };
}

function loop(step: () => Promise<void>): void {
  void step().then(() => loop(step));
}

export async function runQueueKill9(options: QueueKill9Options) {
  const { rounds, seed, durability = "log" } = options;
  const random = seededRandom(seed);
  const { life = () => Bun.sleep(LIFE_MS_MIN + random.float() * LIFE_SPREAD_MS) } = options;
  const list = new ListKnowledge();
  const stream = new StreamKnowledge();
  const violations: string[] = [];
  const acknowledged = () => list.pushed.size + stream.added.size;
  using directory = new NodeDirectory("queue");
  const settings = {
    respPort: 0,
    durability,
    compaction: { logBytesMin: 256 * 1024, growthPercent: 50 },
    ...options.settings,
  };
  for (let round = 0; round < rounds; round++) {
    const node = await directory.start(settings);
    const connect = async () => callerOf(await node.connect());
    if (round > 0) violations.push(...(await check(await connect(), list, stream)));
    await (await connect()).call("XGROUP", "CREATE", "s", "g", "0", "MKSTREAM");
    for (let producer = 0; producer < PRODUCERS; producer++) {
      const client = await connect();
      loop(() => list.push(client, producer, random));
    }
    for (let popper = 0; popper < POPPERS; popper++) {
      const client = await connect();
      loop(() => list.pop(client, random));
    }
    const [adder, consumer] = [await connect(), await connect()];
    loop(() => stream.add(adder, random));
    loop(() => stream.consume(consumer, random));
    const served = {
      node,
      get acknowledged() {
        return acknowledged();
      },
    };
    await life(round, served);
    process.kill(node.pid, "SIGKILL");
    await node.stderr;
  }
  const last = await directory.start(settings);
  violations.push(...(await check(callerOf(await last.connect()), list, stream)));
  return { violations, acknowledged: acknowledged(), popped: list.popped.size };
}
