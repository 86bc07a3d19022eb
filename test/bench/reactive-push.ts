/**
 * `bun run bench reactive-push`: how soon what is written is seen.
 *
 * - all re-run: clients that watch one key, writes at a steady rate; from sending a write to the last client's run.
 * - notification: one watcher, one writer at a steady rate, beside etcd's watch under the same generator; from sending a put to
 *   its arrival at the watcher. Both sync before they answer; one member each, which is one process; the store's roles apart are
 *   measured beside it.
 * - game: a round of two moves with a delay between clients and frontend, with and without pushed data (game-rounds.ts).
 * - idle: memory of a frontend for WebSockets that watch and are told nothing but progress.
 *
 * Generator and clients are one process on the same host, so on few cores they are a part of what is measured.
 */
import { z } from "zod";
import { ensureExecutable, ensurePrograms } from "../../build.ts";
import {
  asksForHelp,
  defaultFlag,
  flagHelp,
  integerFlag,
  numberFlag,
  parseFlags,
  valueFlag,
} from "../../src/core/load/flags.ts";
import { LatencyHistogram, type LatencySummary } from "../../src/core/load/histogram.ts";
import { milliseconds } from "../../src/core/load/table.ts";
import { StoreProcesses } from "../e2e/store-processes.ts";
import { PlainClient } from "../reactive/plain-client.ts";
import { startEtcdServer } from "./etcd-server.ts";
import { type GameFigures, type GameOptions, playGame } from "./game-rounds.ts";
import { LightWatcher } from "./light-watcher.ts";
import { describeMachine, isNoisy } from "./machine.ts";
import { benchDirectory } from "./servers.ts";

const flags = z.object({
  only: valueFlag(z.enum(["all", "notification", "game", "idle"]), "PART", "Measure only this"),
  clients: defaultFlag(integerFlag(1, 100_000), "N", "Clients that re-run with every write", "1000"),
  rate: defaultFlag(numberFlag(0.1, 10_000), "N", "Writes per second", "50"),
  seconds: defaultFlag(numberFlag(0.5, 600), "S", "Length of one measurement", "20"),
  rounds: defaultFlag(integerFlag(1, 100), "N", "Interleaved rounds beside etcd", "3"),
  idle: defaultFlag(integerFlag(0, 100_000), "N", "Idle WebSocket watchers", "10000"),
  delay: defaultFlag(numberFlag(0, 1000), "MS", "Round trip between players and frontend", "36"),
  moves: defaultFlag(integerFlag(2, 10_000), "N", "Moves of a game", "40"),
});
type Flags = z.output<typeof flags>;

const WARM_UP_MS = 5000;
const MEBIBYTE = 1024 * 1024;

type Latencies = Pick<LatencySummary, "p50Ms" | "p90Ms" | "p99Ms" | "maxMs">;

/** Calls `write` with 1, 2, … at a steady rate, one after the other: a late one is called at once. */
async function steadily(
  rate: number,
  seconds: number,
  write: (number: number) => Promise<void>,
): Promise<number> {
  const startMs = performance.now();
  const count = Math.max(1, Math.round(rate * seconds));
  for (let number = 1; number <= count; number++) {
    const waitMs = startMs + (number * 1000) / rate - performance.now();
    if (waitMs > 0) await Bun.sleep(waitMs);
    await write(number);
  }
  return count;
}

const storeOf = (frontendConfig: object = {}) =>
  StoreProcesses.create({ tss: 1, shards: 1, replicas: 1, frontends: 1, frontendConfig });

const putOf = (client: PlainClient, key: string) => (number: number) => client.put({ [key]: String(number) });

/** From sending each write to the last client's run that shows it. */
async function allReRun({
  clients,
  rate,
  seconds,
}: Flags): Promise<Latencies & { rounds: number; writes: number }> {
  using store = await storeOf({ limits: { connections: clients + 100 } });
  await store.startAll();
  const port = store.frontendPorts[0] as number;
  using writer = await PlainClient.connect(port);
  const put = putOf(writer, "hot");
  await put(0);
  const watchers = await openAll(clients, port, () => "hot");
  const latencies = new LatencyHistogram();
  /** Writes that are not seen by all, by timestamp, with those who have seen them. */
  const open: { at: number; sentMs: number; left: number }[] = [];
  const seen = watchers.map(() => 0);
  for (const [index, watcher] of watchers.entries())
    watcher.onRuns = (at) => {
      const before = seen[index] as number;
      seen[index] = at;
      for (const write of open) if (write.at > before && write.at <= at) write.left -= 1;
      while (open[0]?.left === 0) latencies.record(performance.now() - (open.shift()?.sentMs ?? 0));
    };
  const before = watchers.reduce((sum, watcher) => sum + watcher.rounds, 0);
  const writes = await steadily(rate, seconds, async (number) => {
    const sentMs = performance.now();
    const at = await put(number);
    // Runs may have overtaken the answer.
    const left = seen.filter((last) => last < at).length;
    if (left === 0) latencies.record(performance.now() - sentMs);
    else open.push({ at, sentMs, left });
  });
  for (let wait = 0; open.length > 0 && wait < 1000; wait++) await Bun.sleep(10);
  if (open.length > 0) throw new Error(`${open.length} writes were not seen by everybody`);
  const rounds = watchers.reduce((sum, watcher) => sum + watcher.rounds, 0) - before;
  for (const watcher of watchers) watcher.close();
  return { ...latencies.summary(), rounds, writes };
}

/** Opens watchers, some at a time. */
async function openAll(
  count: number,
  port: number,
  keyOf: (index: number) => string,
): Promise<LightWatcher[]> {
  const AT_ONCE = 200;
  const all: LightWatcher[] = [];
  while (all.length < count) {
    const next = Array.from({ length: Math.min(AT_ONCE, count - all.length) }, (_, index) =>
      LightWatcher.open(port, keyOf(all.length + index)),
    );
    all.push(...(await Promise.all(next)));
  }
  return all;
}

async function notifyNodeX(
  { rate, seconds }: Flags,
  create: () => Promise<StoreProcesses>,
): Promise<Latencies> {
  using store = await create();
  await store.startAll();
  const port = store.frontendPorts[0] as number;
  using writer = await PlainClient.connect(port);
  using watcher = await PlainClient.connect(port);
  const put = putOf(writer, "watched");
  await put(0);
  await watcher.watch(1, ["watched"]);
  // Awaited here: what `using` holds ends with this function.
  return await latenciesOf(
    rate,
    seconds,
    async (number) => void (await put(number)),
    (onNumber) => {
      watcher.onRun = ({ view }) => {
        const value = view.get("watched");
        if (value?.type === "bytes") onNumber(Number(new TextDecoder().decode(value.bytes)));
      };
    },
  );
}

async function notifyEtcd({ rate, seconds }: Flags): Promise<Latencies> {
  const { client, stop } = await startEtcdServer(1);
  try {
    let tell: (number: number) => void = () => {};
    await client.watch("watched", (value) => tell(Number(Buffer.from(value).toString())));
    const put = (number: number) => client.put("watched", Buffer.from(String(number)));
    return await latenciesOf(rate, seconds, put, (onNumber) => {
      tell = onNumber;
    });
  } finally {
    await stop();
  }
}

/**
 * After a warm-up at full speed, as servers have that are older than a minute: from sending each put to its arrival, or to that of
 * a later one, at the watcher.
 */
async function latenciesOf(
  rate: number,
  seconds: number,
  put: (number: number) => Promise<void>,
  listen: (onNumber: (number: number) => void) => void,
): Promise<Latencies> {
  const latencies = new LatencyHistogram();
  const open = new Map<number, number>();
  listen((number) => {
    for (const [sent, sentMs] of open) {
      if (sent > number) break;
      latencies.record(performance.now() - sentMs);
      open.delete(sent);
    }
  });
  for (const untilMs = performance.now() + WARM_UP_MS; performance.now() < untilMs;) await put(0);
  await steadily(rate, seconds, async (number) => {
    open.set(number, performance.now());
    await put(number);
  });
  for (let wait = 0; open.size > 0 && wait < 500; wait++) await Bun.sleep(10);
  if (open.size > 0) throw new Error(`${open.size} writes never came`);
  return latencies.summary();
}

async function idleMemory({ idle }: Flags): Promise<{ before: number; after: number }> {
  using store = await storeOf({ limits: { connections: idle + 100 } });
  await store.startAll();
  const port = store.frontendPorts[0] as number;
  const rss = async () => (await store.stats("c.frontend0")).process.rssBytes as number;
  const before = await rss();
  const watchers = await openAll(idle, port, (index) => `idle.${index}`);
  await Bun.sleep(5000);
  const after = await rss();
  const { watches } = (await store.stats("c.frontend0")).frontend.watches;
  if (watches !== idle) throw new Error(`${watches} watches, not ${idle}`);
  for (const watcher of watchers) watcher.close();
  return { before, after };
}

const median = (values: readonly number[]) =>
  values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] as number;

const latencyText = ({ p50Ms, p90Ms, p99Ms, maxMs }: Latencies) =>
  `p50 ${milliseconds(p50Ms)}, p90 ${milliseconds(p90Ms)}, p99 ${milliseconds(p99Ms)}, max ${milliseconds(maxMs)} ms`;

/** What a part found, and whether its floor is held. */
interface Finding {
  text: string;
  isHeld: boolean;
}

async function judgeAll(wanted: Flags): Promise<Finding> {
  const all = await allReRun(wanted);
  return {
    text: `${wanted.clients} clients, ${all.writes} writes at ${wanted.rate}/s, ${all.rounds} runs; all re-run ${latencyText(all)} (floor p99 100, goal 50)`,
    isHeld: all.p99Ms <= 100,
  };
}

/** All in turn, another one first in each round. */
async function judgeNotification(wanted: Flags): Promise<Finding> {
  const contenders = {
    store: () => notifyNodeX(wanted, () => StoreProcesses.inOne(1)),
    etcd: () => notifyEtcd(wanted),
    apart: () => notifyNodeX(wanted, () => storeOf()),
  };
  const names = ["store", "etcd", "apart"] as const;
  const all: Record<(typeof names)[number], Latencies[]> = { store: [], etcd: [], apart: [] };
  for (let round = 0; round < wanted.rounds; round++)
    for (const index of names.keys()) {
      const name = names[(index + round) % names.length] as (typeof names)[number];
      all[name].push(await contenders[name]());
    }
  const middle = (samples: readonly Latencies[]): Latencies => {
    const of = (name: keyof Latencies) => median(samples.map((latencies) => latencies[name]));
    return { p50Ms: of("p50Ms"), p90Ms: of("p90Ms"), p99Ms: of("p99Ms"), maxMs: of("maxMs") };
  };
  const [store, etcd, apart] = [middle(all.store), middle(all.etcd), middle(all.apart)];
  return {
    text: `notification node-x ${latencyText(store)}; etcd watch ${latencyText(etcd)} (floor: p99 no worse); roles apart ${latencyText(apart)}`,
    isHeld: store.p99Ms <= etcd.p99Ms,
  };
}

async function judgeGame({ delay, moves }: Flags): Promise<Finding> {
  const game = (mode: GameOptions["mode"]) => playGame({ mode, delayMs: delay, moves });
  const [pushed, notified, polled] = [await game("pushed"), await game("notified"), await game("polled")];
  const figures = ({ roundMs, reads }: GameFigures) => `${milliseconds(roundMs)} ms with ${reads} reads`;
  const ratio = pushed.roundMs / notified.roundMs;
  return {
    text: `round of two moves over ${delay} ms: pushed ${figures(pushed)}, notified ${figures(notified)}, polled ${figures(polled)}; pushed / notified ${ratio.toFixed(2)} (floor 0.5, no reads)`,
    isHeld: ratio <= 0.5 && pushed.reads === 0,
  };
}

async function judgeIdle(wanted: Flags): Promise<Finding> {
  const { before, after } = await idleMemory(wanted);
  const text = (bytes: number) => `${(bytes / MEBIBYTE).toFixed(0)} MiB`;
  return {
    text: `${wanted.idle} idle WebSocket watchers: ${text(after)}, ${text(before)} without (floor 800 MB, goal 600)`,
    isHeld: after <= 800e6,
  };
}

const parts = { all: judgeAll, notification: judgeNotification, game: judgeGame, idle: judgeIdle };

export async function benchReactivePush(argv: string[]): Promise<number> {
  if (asksForHelp(argv)) {
    console.log(flagHelp(flags).join("\n"));
    return 0;
  }
  const wanted = parseFlags(flags, argv, "bun run bench reactive-push");
  await ensurePrograms([{ program: "etcd", package: "etcd-server" }]);
  await ensureExecutable();
  const machine = describeMachine(benchDirectory.replace("/bench", ""));
  console.log(
    `${machine.cpu}, ${machine.cores} cores, ${machine.disk}${isNoisy(machine) ? " (NOISY)" : ""}\n`,
  );
  let isAllHeld = true;
  for (const [name, judge] of Object.entries(parts)) {
    if (wanted.only !== undefined && wanted.only !== name) continue;
    if (name === "idle" && wanted.idle === 0) continue;
    const { text, isHeld } = await judge(wanted);
    console.log(`${text}: ${isHeld ? "held" : "NOT HELD"}`);
    isAllHeld &&= isHeld;
  }
  return isAllHeld ? 0 : 1;
}
