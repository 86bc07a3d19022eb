/** `top`: the overview of a cluster in a terminal, again and again: what every instance does and what it costs. */
import { join } from "node:path";
import { adminGet } from "../../core/admin-client.ts";
import { blocksLine } from "../../core/blocks-line.ts";
import { durationText } from "../../core/duration-text.ts";
import { Exit } from "../../core/errors.ts";
import { sleep } from "../../core/seams/clock.ts";
import { parseAnswer } from "../../core/watch/answer.ts";
import { buildOf, oddBuilds, shortBuild } from "../../core/watch/builds.ts";
import type { InstanceSnapshot } from "../../core/watch/snapshot.ts";
import { Watched } from "../../core/watch/watched.ts";
import type { AgentClient } from "../../cluster/agent/client.ts";
import type { Instance } from "../../cluster/topology/types.ts";
import { alignColumns, colorsFor, printJson, type Colors } from "../print.ts";
import { usageError } from "../strict.ts";
import { defineVerb, type Call } from "../verb.ts";
import { hostsOf, numberOf, onInterrupt, openCluster, prefixArg, selectionArgs } from "./context.ts";

const orders = ["name", "cpu", "memory", "activity"] as const;
type Order = (typeof orders)[number];

const args = {
  prefix: prefixArg,
  ...selectionArgs,
  "period-ms": { type: "string", valueHint: "MS", default: "1000", description: "How often all are asked" },
  sort: { type: "string", valueHint: "BY", default: "name", description: `By ${orders.join(", ")}` },
  rounds: { type: "string", valueHint: "N", description: "End after so many rounds" },
  json: { type: "boolean", description: "Print JSON, one line for each round" },
} as const;

const SPARK_WIDTH = 20;
const TIMEOUT_MS = 2000;

export const topVerb = defineVerb({
  name: "top",
  summary: "Watch what every instance of a cluster does",
  description:
    "Asks every instance, again and again (those of this host over their admin sockets, others through their hosts' agents), and shows CPU, memory and work per second of every instance until Ctrl-C. What the hub's " +
    "page shows, without a hub. Rates need two rounds.",
  args,
  repeatable: ["only"],
  examples: [
    { command: "node-x top configs/local", shows: "Until Ctrl-C" },
    { command: "node-x top configs/local --sort cpu --role dht", shows: "The busiest nodes first" },
    { command: "node-x top configs/local --rounds 2 --json", shows: "Figures per second for a script" },
  ],
  async run(call) {
    const { args: words } = call;
    const order = orders.find((name) => name === words.sort);
    if (order === undefined)
      throw usageError(`--sort: wanted ${orders.join(", ")}, got "${words.sort}"`, ["top"]);
    const context = await openCluster("top", words.prefix, words, call.all("only"), call, {
      acceptsMistakes: true, // whoever looks wants to see what runs
    });
    const { cluster, selected, place } = context;
    const periodMs = numberOf(words["period-ms"], "--period-ms", "top", 100) ?? 1000;
    const rounds = numberOf(words.rounds, "--rounds", "top") ?? Number.POSITIVE_INFINITY;
    const { connectEach } = await import("./each-host.ts");
    const remote = hostsOf(cluster, selected).filter(({ access }) => access.kind === "ssh");
    const remoteNames = new Set(remote.map(({ name }) => name));
    const { agents, failures, close } = await connectEach(context, remote, call);
    const askOf = (host: string) => {
      if (!remoteNames.has(host)) return askHere;
      const agent = agents.get(host);
      return agent === undefined ? (failures.get(host) ?? "its host has no agent") : askAgent(agent);
    };
    const interrupt = onInterrupt(() => undefined);
    const watched = selected.map((instance) => {
      const { name, role, host } = instance;
      return { instance, watched: new Watched({ name, role, host }) };
    });
    try {
      for (let round = 1; ; round++) {
        await look(watched, askOf, () => place.clock.monotonicMs());
        const shown = watched.map((each) => each.watched);
        show(cluster.prefix, shown, order, call);
        if (round >= rounds) return Exit.ok;
        await sleep(place.clock, periodMs, interrupt.signal);
        if (interrupt.signal.aborted) return Exit.ok;
      }
    } finally {
      interrupt.close();
      close();
    }
  },
});

type Ask = (instances: readonly Instance[]) => Promise<Map<string, unknown>>;

/** Straight over their admin sockets: they need not be deployed. */
const askHere: Ask = async (instances) => {
  const answers = await Promise.all(
    instances.map(async ({ name, dataDir }) => {
      try {
        return [name, JSON.parse((await adminGet(join(dataDir, "admin.sock"), "/stats", TIMEOUT_MS)).body)];
      } catch {
        return [name, undefined];
      }
    }),
  );
  return new Map(answers as [string, unknown][]);
};

const askAgent =
  (agent: AgentClient): Ask =>
  async (instances) => {
    const { result } = await agent.call("status", { instances: instances.map(({ name }) => name) });
    return new Map(result.instances.map(({ service, health }) => [service.instance, health.stats]));
  };

/** Asks everybody once. */
async function look(
  watched: readonly { instance: Instance; watched: Watched }[],
  askOf: (host: string) => Ask | string,
  nowMs: () => number,
): Promise<void> {
  const byHost = Map.groupBy(watched, ({ instance }) => instance.host);
  await Promise.all(
    [...byHost].map(async ([host, members]) => {
      const ask = askOf(host);
      let trouble = typeof ask === "string" ? ask : "it does not answer";
      let answers = new Map<string, unknown>();
      try {
        if (typeof ask !== "string") answers = await ask(members.map(({ instance }) => instance));
      } catch (error) {
        trouble = (error as Error).message;
      }
      for (const { instance, watched: each } of members) {
        const answer = parseAnswer(answers.get(instance.name));
        if (answer !== undefined) each.accept(answer, nowMs());
        else each.fail(trouble);
        each.remember();
      }
    }),
  );
}

function sorted(watched: readonly Watched[], order: Order): Watched[] {
  if (order === "name") return [...watched];
  const keyOf: Record<Exclude<Order, "name">, (snapshot: InstanceSnapshot) => number> = {
    cpu: ({ cpuPercent = -1 }) => cpuPercent,
    memory: ({ rssBytes = -1 }) => rssBytes,
    activity: ({ throughput }) => throughput?.perSecond ?? -1,
  };
  return watched.toSorted((a, b) => keyOf[order](b.snapshot) - keyOf[order](a.snapshot));
}

function show(prefix: string, watched: readonly Watched[], order: Order, call: Call<typeof args>): void {
  const { stdout, environment } = call;
  const all = sorted(watched, order);
  if (call.args.json === true) {
    const snapshots = all.map(({ snapshot }) => snapshot);
    if (stdout.isTty) printJson(stdout, snapshots);
    else stdout.write(`${JSON.stringify(snapshots)}\n`);
    return;
  }
  const colors = colorsFor(stdout, environment);
  const ready = all.filter(({ snapshot }) => snapshot.condition === "ready").length;
  const odd = oddBuilds(watched);
  const header = ["instance", "host", "state", "cpu", "memory", "up", "work", "", "version", "holds"];
  const lines = alignColumns([header, ...all.map((each) => cellsOf(each, odd, colors))], "  ", [3, 4, 5, 6]);
  const [first = "", ...rest] = lines;
  const width = stdout.columns ?? Number.POSITIVE_INFINITY;
  const cut = (line: string) => (Bun.stringWidth(line) > width ? Bun.sliceAnsi(line, 0, width) : line);
  if (stdout.isTty) stdout.write("\u001b[H\u001b[J");
  stdout.write(`${colors.bold(prefix)}  ${ready} of ${all.length} instances ready\n\n`);
  stdout.write(`${colors.dim(cut(first))}\n${rest.map((line) => `${cut(line)}\n`).join("")}`);
}

function cellsOf(
  { snapshot, history, identity }: Watched,
  odd: ReadonlySet<string>,
  colors: Colors,
): string[] {
  const { condition, cpuPercent, rssBytes, uptimeSeconds, throughput, keyFigure, reasons } = snapshot;
  const build = buildOf(snapshot) ?? "";
  const paint = { ready: colors.green, "not ready": colors.yellow, unreachable: colors.red }[condition];
  return [
    identity.name,
    identity.host ?? "",
    paint(condition),
    cpuPercent === undefined ? "" : `${cpuPercent.toFixed(1)} %`,
    rssBytes === undefined ? "" : `${Math.round(rssBytes / (1 << 20))} MiB`,
    uptimeSeconds === undefined ? "" : durationText(uptimeSeconds),
    throughput === undefined
      ? ""
      : `${Math.round(throughput.perSecond).toLocaleString("en")} ${throughput.unit}/s`,
    blocksLine(history, SPARK_WIDTH),
    odd.has(build) ? colors.red(shortBuild(build)) : shortBuild(build),
    [keyFigure, ...reasons].filter((word) => word !== "").join("; "),
  ];
}
