/**
 * Three nats-servers, one of which is killed and comes back again and again, under the compiled executable, which is
 * killed too: a queue node whose log is a stream, and a worker between two streams. In every third life of the queue a
 * second server dies as well.
 *
 * Judged is what clients were told. Queue: the checker of crash/queue-simulation.ts, over lives that have nothing in
 * common but the stream. Worker: words go in, each count of each word comes out; a count that is missing was lost, one
 * that is there twice was processed or sent twice.
 */
import { expect } from "bun:test";
import { seededRandom } from "../../src/core/seams/random.ts";
import { readStream, WHATEVER_COMES } from "../../src/core/nats/read-stream.ts";
import { NatsServers } from "../core/nats/servers.ts";
import { until } from "./executable.ts";
import { freePorts } from "./free-ports.ts";
import { NodeDirectory, type NodeProcess } from "./node-process.ts";
import { runQueueKill9 } from "./queue-kill9.ts";

export interface NatsFaults {
  rounds: number;
  seed: number;
}

const MEMBERS = 3;
const LIMIT_MS = 120_000;

/** Kills the member that leads a stream, or another one, every second time. */
async function killMember(nats: NatsServers, stream: string, round: number): Promise<number> {
  const leader = await nats.leaderOf(stream);
  const member = round % 2 === 0 ? leader : (leader + 1) % MEMBERS;
  await nats.kill(member);
  return member;
}

async function isStalled(node: NodeProcess): Promise<true | undefined> {
  const { reasons } = await node.readiness();
  return reasons.some((text) => text.includes("does not acknowledge")) || undefined;
}

export async function runNatsQueue({ rounds, seed }: NatsFaults) {
  await using nats = await NatsServers.start(MEMBERS);
  const jetstream = { ...nats.settings, stream: "q", replicas: MEMBERS };
  let killed = 0;
  const result = await runQueueKill9({
    ...{ rounds, seed },
    settings: { engine: { jetstream } },
    async life(round, served) {
      const more = (count: number) => {
        const wanted = served.acknowledged + count;
        return until(
          `${wanted} acknowledgements`,
          () => served.acknowledged >= wanted || undefined,
          LIMIT_MS,
        );
      };
      await more(50);
      const member = await killMember(nats, "q", round);
      killed += 1;
      await more(50);
      if (round % 3 === 2) {
        // Without a majority writes are refused, until one of the two is back.
        const second = (member + 1) % MEMBERS;
        await nats.kill(second);
        await until("the stall", () => isStalled(served.node), LIMIT_MS);
        const client = await served.node.connect();
        expect(String(await client.command("RPUSH", "other", "x"))).toStartWith("-NOREPLICAS ");
        nats.startMember(second);
        await more(50);
      }
      nats.startMember(member);
      await more(50);
    },
  });
  return { ...result, killed };
}

const WORDS = Array.from({ length: 7 }, (_, index) => `word${index}`);
const RECORDS_PER_ROUND = 140;

/** One worker, or two that share the words; any of them can be killed and comes back. */
class Workers implements Disposable {
  readonly #directories: NodeDirectory[] = [];
  readonly #settings: Record<string, unknown>[] = [];
  readonly #running: (NodeProcess | undefined)[] = [];

  static async configure(size: 1 | 2, common: Record<string, unknown>): Promise<Workers> {
    const workers = new Workers();
    const [controlPort] = await freePorts(1);
    const initializer = { ...common, size, controlPort, sources: ["Lines=nats:in"] };
    const other = { ...common, name: "worker2", controlPort: 0, join: `127.0.0.1:${controlPort}` };
    for (const settings of size === 1 ? [initializer] : [initializer, other]) {
      workers.#settings.push(settings);
      workers.#directories.push(new NodeDirectory("worker"));
    }
    return workers;
  }

  /** Those that do not run. */
  async start(): Promise<void> {
    const started = this.#directories.map((directory, index) =>
      this.#running[index] ? undefined : directory.start(this.#settings[index]),
    );
    for (const [index, starting] of started.entries()) this.#running[index] ??= await starting;
  }

  async end(index: number, signal: NodeJS.Signals): Promise<void> {
    await this.#running[index]?.end(signal);
    this.#running[index] = undefined;
  }

  [Symbol.dispose](): void {
    for (const directory of this.#directories) directory[Symbol.dispose]();
  }
}

export async function runNatsWorker({ rounds, seed, size = 1 }: NatsFaults & { size?: 1 | 2 }) {
  const random = seededRandom(seed);
  await using nats = await NatsServers.start(MEMBERS);
  for (const stream of ["in", "out"]) await nats.addStream(stream);
  using workers = await Workers.configure(size, {
    ...{ app: "word-count", sinks: ["counts=nats:out"], nats: nats.settings },
    ...{ checkpointMs: 50, dataPort: 0 },
  });
  let sent = 0;
  /** One after the other, each until it is stored: what goes in is in order, and once. */
  const feed = async (count: number) => {
    for (const end = sent + count; sent < end; sent++) {
      const [word, msgID] = [WORDS[sent % WORDS.length] as string, `in-${sent}`];
      const store = () =>
        nats.session.jetstream.publish("in", word, { msgID, timeout: 1000 }).catch(() => undefined);
      await until(`record ${sent} to be stored`, store, LIMIT_MS);
    }
  };
  for (let round = 0; round < rounds; round++) {
    await workers.start();
    await feed(RECORDS_PER_ROUND / 2);
    const member = await killMember(nats, random.integer(2) === 0 ? "in" : "out", round);
    const feeding = feed(RECORDS_PER_ROUND / 2);
    await Bun.sleep(random.float() * 300);
    await workers.end(random.integer(size), "SIGKILL");
    await feeding;
    nats.startMember(member);
  }
  await workers.start();
  const counts = async () => {
    const found: string[] = [];
    const range = { stream: "out", after: 0, upTo: WHATEVER_COMES };
    for await (const { data } of readStream(nats.session, range)) found.push(Buffer.from(data).toString());
    return found;
  };
  const found = await until("all counts", async () => {
    const found = await counts().catch(() => []);
    return new Set(found).size >= sent ? found : undefined;
  }, LIMIT_MS); // prettier-ignore
  // Everything is through: a checkpoint behind it covers all of the input.
  await until("the input to be acknowledged", async () => {
    const info = await nats.session.manager.consumers.info("in", "word-count-initializer-Lines").catch(() => undefined);
    return (info?.num_ack_pending === 0 && info.num_pending === 0) || undefined;
  }, LIMIT_MS); // prettier-ignore
  return { violations: judge(found, sent), records: sent, rounds };
}

/** Each word's counts are 1, 2, 3 … each once. */
export function judge(found: readonly string[], sent: number): string[] {
  const times = Map.groupBy(found, (text) => text);
  const violations: string[] = [];
  for (let record = 0; record < sent; record++) {
    const text = `${WORDS[record % WORDS.length]}: ${Math.floor(record / WORDS.length) + 1}`;
    const count = times.get(text)?.length ?? 0;
    if (count !== 1) violations.push(`"${text}" came ${count} times`);
    times.delete(text);
  }
  for (const text of times.keys()) violations.push(`"${text}" was never due`);
  return violations;
}
