/**
 * What somebody on call should look at, worst first: derived from the newest round, nothing is remembered.
 *
 * The same conditions are alert rules for Prometheus in alerts.ts; a rule there says for how long a condition must hold.
 */
import { buildOf, shortBuild } from "../core/watch/builds.ts";
import type { Watched } from "../core/watch/watched.ts";
import { figures, numberAt } from "./figures.ts";
import { lagOf, newestEpochOf } from "./lags.ts";
import type { Concern } from "./messages.ts";

export const limits = {
  queueFullness: 0.9,
  eventLoopLagSeconds: 0.25,
  replicationLagEntries: 1000,
  /** From here on a replica's lag is shown in red, or when it lasts for some rounds. */
  replicationLagShownEntries: 100,
  replicationLagShownRounds: 5,
  metricsAgeSeconds: 300,
  restartsPerDay: 3,
} as const;

export interface Surveyed {
  watched: readonly Watched[];
  restartsOf(instance: string): number;
  /** Mistakes in the cluster's files. */
  problems: readonly string[];
}

type Check = (
  watched: Watched,
  all: Surveyed & { newestEpoch: number },
) => Omit<Concern, "subject" | "instance"> | undefined;

const bad = (text: string) => ({ severity: "bad" as const, text });
const warn = (text: string) => ({ severity: "warn" as const, text });

const ownNumber = ({ latest }: Watched, path: string) => numberAt(latest?.answer.own, path);

function figureOf({ latest }: Watched, id: string): number | undefined {
  const figure = figures.find((each) => each.id === id);
  return latest === undefined ? undefined : figure?.read(latest.answer);
}

const checks: Check[] = [
  ({ snapshot }) =>
    snapshot.condition === "unreachable" ? bad(`does not answer: ${snapshot.reasons.join("; ")}`) : undefined,
  ({ snapshot }) =>
    snapshot.condition === "not ready" ? bad(`is not ready: ${snapshot.reasons.join("; ")}`) : undefined,
  (watched) =>
    ["log", "journal"].some((log) => ownNumber(watched, `${log}.isSpaceShort`) === 1)
      ? bad("its disk is nearly full: writes are refused until there is space")
      : undefined,
  (watched) => {
    if (watched.snapshot.role !== "queue") return undefined;
    const full = figureOf(watched, "queue.fullness") ?? 0;
    return full >= limits.queueFullness
      ? warn(`its fullest channel is ${Math.round(100 * full)} % full`)
      : undefined;
  },
  (watched, { restartsOf }) => {
    const restarts = restartsOf(watched.identity.name);
    return restarts >= limits.restartsPerDay
      ? warn(`was started ${restarts} times in the last day`)
      : undefined;
  },
  (watched) => {
    const lag = figureOf(watched, "lag") ?? 0;
    return lag > limits.eventLoopLagSeconds
      ? warn(`its event loop runs ${Math.round(1000 * lag)} ms late (p99 of the last minute)`)
      : undefined;
  },
  (watched, { newestEpoch }) => {
    const lag = lagOf(watched, newestEpoch);
    return lag === undefined ? undefined : warn(`its ${lag}`);
  },
  ({ latest }) => {
    const volumes = latest?.answer.own.volumes;
    const given = (Array.isArray(volumes) ? volumes : []).filter((volume) =>
      numberAt(volume, "archives[].hasGivenUp"),
    );
    return given.length > 0
      ? bad(`has given up on sending ${given.length} of its volumes to an archive`)
      : undefined;
  },
];

/** Committed entries of the replica that is furthest, by group. */
export function furthestOfGroups(watched: readonly Watched[]): Map<string, number> {
  const furthest = new Map<string, number>();
  for (const each of watched) {
    const { group } = each.snapshot;
    const commit = ownNumber(each, "commit");
    if (group !== undefined && commit !== undefined)
      furthest.set(group, Math.max(furthest.get(group) ?? 0, commit));
  }
  return furthest;
}

/** Entries by which a replica is behind its group; undefined when it is in none. */
export function replicationLag(watched: Watched, furthest: ReadonlyMap<string, number>): number | undefined {
  const most = furthest.get(watched.snapshot.group ?? "");
  const commit = ownNumber(watched, "commit");
  return most === undefined || commit === undefined ? undefined : most - commit;
}

function groupConcerns({ watched }: Surveyed): Concern[] {
  const groups = Map.groupBy(
    watched.filter(({ snapshot }) => snapshot.group !== undefined),
    ({ snapshot }) => snapshot.group as string,
  );
  return [...groups].flatMap(([subject, members]) => {
    const answering = members.filter(({ latest }) => latest !== undefined);
    const hasPrimary = answering.some((member) => ownNumber(member, "isPrimary") === 1);
    if (hasPrimary || answering.length === 0) return [];
    return [{ severity: "bad" as const, subject, text: "has no primary: nothing is committed" }];
  });
}

export function concernsOf(surveyed: Surveyed): Concern[] {
  const { watched, problems } = surveyed;
  const furthest = furthestOfGroups(watched);
  const all = { ...surveyed, newestEpoch: newestEpochOf(watched) };
  const found = watched.flatMap((each) => {
    const subject = each.snapshot.name;
    const instance = each.identity.name;
    const own = checks.flatMap((check) => check(each, all) ?? []);
    const lag = replicationLag(each, furthest) ?? 0;
    if (lag > limits.replicationLagEntries)
      own.push(warn(`is ${lag.toLocaleString("en")} entries behind its group`));
    return own.map((concern) => ({ ...concern, subject, instance }));
  });
  const builds = new Set(watched.flatMap(({ snapshot }) => buildOf(snapshot) ?? []));
  const skew: Concern[] =
    builds.size > 1
      ? [
          {
            severity: "warn",
            subject: "versions",
            text: `${builds.size} builds run side by side: ${[...builds].map(shortBuild).join(", ")}`,
          },
        ]
      : [];
  const files: Concern[] = problems.map((text) => ({ severity: "warn", subject: "configuration", text }));
  const concerns: Concern[] = [...groupConcerns(surveyed), ...found, ...skew, ...files];
  return concerns.toSorted((a, b) => Number(b.severity === "bad") - Number(a.severity === "bad"));
}
