/** `audit`: what was done to a cluster, by whom, as all its hosts and this machine wrote it down. */
import { Exit } from "../../core/errors.ts";
import type { AuditEntry } from "../../cluster/agent/messages.ts";
import { colorsFor, printJson, printTable } from "../print.ts";
import { defineVerb } from "../verb.ts";
import { numberOf, openCluster, prefixArg, withAgents } from "./context.ts";

const ENTRIES_MAX = 1_000_000;

export const auditVerb = defineVerb({
  name: "audit",
  summary: "Show what was done to a cluster, and check that nothing of it was changed",
  description:
    "Each host and the operator's machine keep a log whose lines hold the hash of the line before, and write down each other's newest hash at the end of each command. A line that was changed, " +
    "removed or cut off is found and told; the exit code is then not 0.",
  args: {
    prefix: prefixArg,
    host: { type: "string", valueHint: "HOST", description: "Only the log of this host" },
    lines: {
      type: "string",
      alias: "n",
      valueHint: "N",
      default: "50",
      description: "How many of the newest",
    },
    json: { type: "boolean", description: "Print JSON, all entries" },
  },
  examples: [{ command: "node-x audit configs/prod", shows: "Who did what" }],
  async run(call) {
    const { args, stdout, environment } = call;
    const lines = numberOf(args.lines, "--lines", "audit") ?? 50;
    const context = await openCluster(
      "audit",
      args.prefix,
      {},
      args.host === undefined ? [] : [args.host],
      call,
    );
    const { cluster, place, selected } = context;
    const hosts = cluster.hosts.filter(({ name }) => selected.some(({ host }) => host === name));
    const [{ ownAudit }, { verifyLogs }] = await Promise.all([
      import("../../cluster/operator/place.ts"),
      import("../../cluster/operator/audit-logs.ts"),
    ]);
    const logs = await withAgents(context, hosts, call, "any version will do", async (agents) => {
      const read = await Promise.all(
        [...agents].map(async ([host, agent]) => {
          const entries: AuditEntry[] = [];
          const question = { fromSequence: 0, limit: ENTRIES_MAX };
          await agent.call("audit-read", question, { onEvent: (entry) => entries.push(entry) });
          return [host, entries] as const;
        }),
      );
      return new Map(read);
    });
    const own = (await ownAudit(place, cluster).read()).entries;
    verifyLogs(logs, own, context.operator.name);
    const all = [...logs].flatMap(([host, entries]) => entries.map((entry) => ({ host, ...entry })));
    if (args.host === undefined) all.push(...own.map((entry) => ({ host: "(here)", ...entry })));
    all.sort((a, b) => a.atMs - b.atMs);
    if (args.json === true) {
      printJson(stdout, { intact: true, entries: all });
      return Exit.ok;
    }
    const rows = all
      .slice(-lines)
      .map(({ host, atMs, operator, action, instance, before, after, result }) => [
        new Date(atMs).toISOString(),
        host,
        operator,
        [action, instance].filter(Boolean).join(" "),
        [before, after].filter(Boolean).join(" → "),
        result.split("\n", 1)[0] ?? "",
      ]);
    const colors = colorsFor(stdout, environment);
    printTable(stdout, ["when", "where", "who", "what", "", "result"], rows, colors);
    call.stderr.write(`${all.length} entries, all chains intact\n`);
    return Exit.ok;
  },
});
