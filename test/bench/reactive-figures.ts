/**
 * `bun run bench reactive-figures`: the measurements of the Diamond paper (OSDI 2016), figures 7 to 10, on this host.
 *
 *    7  committed Retwis transactions per second for read committed, snapshot isolation and strict serializability, with and
 *       without commuting operations (DOCC)
 *    8  what commuting operations gain, by kind of transaction, strictly serializable
 *    9  a round of the 100 game over a delay: with pushed data, with notifications only, and polled
 *   10  rounds of the game while the primary of a shard is killed
 *
 * As in the paper the middle half of a run counts. All processes and the load share this host, and everything is synced to disk,
 * which the paper did not do: shapes compare, numbers do not (figure-goals.ts says which). Writes a JSON file and an SVG.
 */
import { mkdirSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";
import { z } from "zod";
import { ensureExecutable } from "../../build.ts";
import { assert } from "../../src/core/errors.ts";
import {
  asksForHelp,
  defaultFlag,
  flagHelp,
  integerFlag,
  numberFlag,
  parseFlags,
} from "../../src/core/load/flags.ts";
import { Level } from "../../src/reactive/shard/transaction.ts";
import { StoreProcesses } from "../e2e/store-processes.ts";
import { WARM_UP_SECONDS } from "./compare.ts";
import { type Figures, judgeFigures, type Rate } from "./figure-goals.ts";
import { figureSvg, type Panel } from "./figure-svg.ts";
import { playGame } from "./game-rounds.ts";
import { describeMachine, isNoisy } from "./machine.ts";
import { kinds, type Mix, Retwis } from "./retwis.ts";
import { benchDirectory } from "./servers.ts";
import { StoreClient } from "./store-client.ts";

const flags = z.object({
  seconds: defaultFlag(numberFlag(0.5, 600), "S", "Length of one measurement", "8"),
  callers: defaultFlag(
    integerFlag(1, 10_000),
    "N",
    "Callers at once; the paper shows peaks, so enough of them",
    "64",
  ),
  keys: defaultFlag(integerFlag(10, 10_000_000), "N", "Keys of each kind: few are contended", "300"),
  replicas: defaultFlag(integerFlag(1, 5), "N", "Of the timestamp server and of each of three shards", "3"),
  skew: defaultFlag(numberFlag(0, 5), "S", "Zipf coefficient", "0.8"),
  moves: defaultFlag(integerFlag(4, 10_000), "N", "Moves of a game", "40"),
  delay: defaultFlag(numberFlag(0, 1000), "MS", "Round trip between players and frontend", "36"),
});
type Flags = z.output<typeof flags>;

/** The kind of Retwis transaction whose aborts are judged. */
const POSTING = "post";

export const modes: Record<keyof Figures["levels"], Mix> = {
  RC: { level: Level.readCommitted, commutes: true },
  "SI+DOCC": { level: Level.snapshot, commutes: true },
  SI: { level: Level.snapshot, commutes: false },
  "SS+DOCC": { level: Level.strict, commutes: true },
  SS: { level: Level.strict, commutes: false },
};

/** Committed per second in the middle half of the time, and the share of all attempts that were refused. */
async function rateOf(
  client: StoreClient,
  load: Retwis,
  mix: Mix,
  { seconds, callers }: Pick<Flags, "seconds" | "callers">,
): Promise<Rate> {
  let isOver = false;
  const caller = async () => {
    while (!isOver) await load.run(client, mix);
  };
  const all = Promise.all(Array.from({ length: callers }, caller));
  await Bun.sleep(250 * seconds);
  const [committedBefore, abortedBefore] = [load.committed, load.aborted];
  await Bun.sleep(500 * seconds);
  const [committed, aborted] = [load.committed - committedBefore, load.aborted - abortedBefore];
  await Bun.sleep(250 * seconds);
  isOver = true;
  await all;
  return { perSecond: committed / (seconds / 2), abortRate: aborted / Math.max(1, aborted + committed) };
}

async function withStore<Value>(
  replicas: number,
  use: (client: StoreClient) => Promise<Value>,
): Promise<Value> {
  using store = await StoreProcesses.create({ tss: replicas, shards: 3, replicas, frontends: 1 });
  await store.startAll();
  const client = await StoreClient.connect(store.frontendPorts[0] as number);
  try {
    return await use(client);
  } finally {
    client.close();
  }
}

/** Figures 7 and 8. */
function throughput(wanted: Flags) {
  return withStore(wanted.replicas, async (client) => {
    const levels = {} as Figures["levels"];
    // The first level that is measured would be compiled meanwhile.
    for (const mix of [modes["SS+DOCC"], modes.RC])
      await rateOf(client, new Retwis(wanted.keys, wanted.skew), mix, {
        ...wanted,
        seconds: WARM_UP_SECONDS,
      });
    for (const [name, mix] of Object.entries(modes))
      levels[name as keyof typeof modes] = await rateOf(
        client,
        new Retwis(wanted.keys, wanted.skew),
        mix,
        wanted,
      );
    const gains: Record<string, number> = {};
    let posting: Figures["posting"] | undefined;
    for (const kind of kinds) {
      const rate = (name: "SS" | "SS+DOCC") =>
        rateOf(client, new Retwis(wanted.keys, wanted.skew, kind), modes[name], wanted);
      const [on, off] = [await rate("SS+DOCC"), await rate("SS")];
      gains[kind.name] = on.perSecond / Math.max(off.perSecond, 1e-9);
      if (kind.name === POSTING) posting = { on, off };
    }
    assert(posting !== undefined, `one kind of transaction is "${POSTING}"`);
    return { levels, gains, posting };
  });
}

/** Figures 9 and 10. */
async function games({ delay, moves }: Flags) {
  const rounds = {} as Figures["rounds"];
  let pushedReads = 0;
  for (const mode of ["pushed", "notified", "polled"] as const) {
    const { roundMs, reads } = await playGame({ mode, delayMs: delay, moves });
    rounds[mode] = roundMs;
    if (mode === "pushed") pushedReads = reads;
  }
  const { movedMs } = await playGame({
    mode: "pushed",
    delayMs: delay,
    moves: 3 * moves,
    replicas: 3,
    disturb: {
      atMove: moves,
      how: async (store) => void (await store.kill(await store.primaryOf("c.shard0"))),
    },
  });
  const failover = movedMs.slice(2).map((atMs, index) => ({
    x: Number((atMs / 1000).toFixed(3)),
    y: Math.round(atMs - (movedMs[index] as number)),
  }));
  return { rounds, pushedReads, failover };
}

const barsOf = (values: Record<string, number>) =>
  Object.entries(values).map(([label, value]) => ({ label, value }));

export async function benchReactiveFigures(argv: string[]): Promise<number> {
  if (asksForHelp(argv)) {
    console.log(flagHelp(flags).join("\n"));
    return 0;
  }
  const wanted = parseFlags(flags, argv, "bun run bench reactive-figures");
  await ensureExecutable();
  const machine = describeMachine(benchDirectory.replace("/bench", ""));
  const host = `${machine.cpu}, ${machine.cores} cores, ${machine.disk}${isNoisy(machine) ? " (NOISY)" : ""}`;
  console.log(`${host}\n`);
  const { levels, gains, posting } = await throughput(wanted);
  const { rounds, pushedReads, failover } = await games(wanted);
  const rates = Object.fromEntries(Object.entries(levels).map(([name, { perSecond }]) => [name, perSecond]));
  const panels: Panel[] = [
    {
      title: "7: Retwis mix by isolation level",
      unit: "committed transactions per second",
      bars: barsOf(rates),
    },
    { title: "8: gain of commuting operations, SS", unit: "times", bars: barsOf(gains) },
    {
      title: `9: a round of the 100 game over ${wanted.delay} ms`,
      unit: "milliseconds",
      bars: barsOf(rounds),
    },
    {
      title: "10: rounds while the primary of a shard is killed",
      unit: "milliseconds of two moves",
      xLabel: "seconds",
      points: failover,
    },
  ];
  const path = `${benchDirectory}/reactive-figures`;
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(
    `${path}.json`,
    JSON.stringify({ host, wanted, levels, gains, posting, rounds, failover }, null, 2),
  );
  writeFileSync(`${path}.svg`, figureSvg(`Figures 7 to 10 on ${host}`, panels));
  for (const [name, { perSecond, abortRate }] of Object.entries(levels))
    console.log(
      `${name.padEnd(10)} ${perSecond.toFixed(0)} transactions/s, ${(100 * abortRate).toFixed(1)} % aborted`,
    );
  for (const [name, { abortRate }] of Object.entries(posting))
    console.log(`posting, DOCC ${name}: ${(100 * abortRate).toFixed(1)} % aborted`);
  for (const [name, gain] of Object.entries(gains)) console.log(`DOCC on ${name}: ${gain.toFixed(2)} x`);
  for (const [name, roundMs] of Object.entries(rounds))
    console.log(`round ${name}: ${roundMs.toFixed(0)} ms`);
  console.log(`\n${path}.svg and .json\n`);
  const verdicts = judgeFigures({ levels, posting, rounds, pushedReads, failover });
  for (const { goal, found, isHeld } of verdicts)
    console.log(`${goal}: ${found}, ${isHeld ? "held" : "NOT HELD"}`);
  return verdicts.every(({ isHeld }) => isHeld) ? 0 : 1;
}
