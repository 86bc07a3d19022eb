/** A plan for people: what changes on each host, what happens to each instance in which order. */
import type { DeployPlan, HostChanges } from "../../cluster/plan/deploy-plan.ts";
import type { RolloutPlan } from "../../cluster/rollout/steps.ts";
import { alignColumns, type Colors } from "../print.ts";

const SIGNS = { add: "+", change: "~", remove: "-" } as const;

/** The changes of hosts; hosts with the same changes are told together. */
export function changesText(hosts: readonly HostChanges[], colors: Colors): string {
  const groups = Map.groupBy(hosts, ({ from, to, items }) =>
    JSON.stringify([from, to, items.filter(({ item }) => !item.startsWith("service "))]),
  );
  return [...groups.values()].map((group) => groupText(group, colors)).join("");
}

function groupText(group: readonly HostChanges[], colors: Colors): string {
  const [first] = group;
  if (first === undefined) return "";
  const paint = { add: colors.green, change: colors.yellow, remove: colors.red };
  const names = group.map(({ host }) => host).join(", ");
  const release =
    first.from === undefined
      ? `release ${first.to}`
      : first.from === first.to
        ? first.to
        : `${first.from} → ${first.to}`;
  const items = [
    ...new Map(group.flatMap(({ items: all }) => all).map((item) => [item.item, item])).values(),
  ];
  const lines = items.map(({ change, item, before, after }) => {
    const digests = [before, after].filter((digest) => digest !== undefined).join(" → ");
    return paint[change](`  ${SIGNS[change]} ${item}${digests === "" ? "" : `  ${digests}`}`);
  });
  return `${[`${colors.bold(names)}: ${release}`, ...lines].join("\n")}\n`;
}

/** The waves, one line each. */
export function stagesText({ stages, instances }: RolloutPlan, colors: Colors): string {
  const actionOf = new Map(instances.map(({ name, action }) => [name, action]));
  const rows = stages.map(({ title, lanes }, index) => [
    colors.dim(`${index + 1}.`),
    title,
    lanes.map(({ instance, host }) => (instance === undefined ? host : instance)).join(" "),
    actionOf.get(lanes[0]?.instance ?? "") === "replace"
      ? colors.dim("each: stop, swap, start, ready and healthy")
      : "",
  ]);
  return `${alignColumns(rows).join("\n")}\n`;
}

/** What programs read. */
export function planJson(plan: RolloutPlan, deploy?: DeployPlan) {
  return {
    release: plan.release ?? null,
    hosts: deploy?.hosts ?? [],
    instances: plan.instances.map(({ name, host, action, from, isRunning, isLeader }) => ({
      name,
      host,
      action,
      from: from ?? null,
      isRunning,
      isLeader,
    })),
    stages: plan.stages.map(({ title, lanes }) => ({
      title,
      lanes: lanes.map(({ host, instance, steps }) => ({
        host,
        instance: instance ?? null,
        steps: steps.map(({ kind }) => kind),
      })),
    })),
    unchanged: deploy?.unchanged ?? [],
  };
}
