/** What an archive answers its controller: `get` targets and the text of `status`, word for word as the original's. */
import type { KeepAlive } from "../../core/seams/net.ts";
import {
  newest,
  chainFrom,
  diffText,
  isSameSnapshot,
  listedPoints,
  type MetaDiff,
  type MetaState,
  restorePoints,
  snapshotText,
  stateText,
} from "../algebra/snapshot.ts";
import { listingTime, sizeText, uuidText } from "../formats/units.ts";
import { type GetTarget, gidOf, keepAliveText, lagText, volumeOf, wordsAtLeast } from "../server/control.ts";
import { Refusal, type WalbServer } from "../server/server.ts";
import { type Action, actions, type ArchiveVolume } from "./volume.ts";

export interface ArchiveView {
  nodeId: string;
  baseDir: string;
  connectionsMax: number;
  foregroundMax: number;
  timeoutSeconds: number;
  grows: boolean;
  keepsOneCold: boolean;
  keepAlive: KeepAlive | undefined;
  volumes: ReadonlyMap<string, ArchiveVolume>;
  volume(name: string): ArchiveVolume;
  server(): WalbServer;
  volumeGroup: string;
  thinPool: string;
  processId: number;
}

const never = (time: number) => listingTime(time);

export function archiveTargets(view: ArchiveView): Record<string, GetTarget> {
  const of = (args: string[]) => view.volume(volumeOf(wordsAtLeast(args, 1)[0]));
  /** A volume that has a base. */
  const based = (args: string[], name: string) => {
    const volume = of(args);
    if (!volume.isActive && volume.state !== "Stopped")
      throw new Refusal(`${name}:bad state:${volume.name}:${volume.state}`);
    return volume;
  };
  const running = (args: string[], name: string) => {
    const volume = of(args);
    if (!volume.isActive) throw new Refusal(`${name}:bad state:${volume.name}:${volume.state}`);
    return volume;
  };
  /** The diffs of a volume in a range of gids. */
  const inRange = (args: string[]): MetaDiff[] => {
    const volume = running(args, "getDiff");
    const from = args[1] === undefined ? 0n : gidOf(args[1]);
    const to = args[2] === undefined ? 0xffff_ffff_ffff_ffffn : gidOf(args[2]);
    return volume.diffs.all.filter((diff) => diff.from.begin >= from && diff.to.begin <= to);
  };
  const latestLine = (volume: ArchiveVolume) => {
    const { to, timestamp } = volume.newest;
    return `name:${volume.name}\tkind:archive\tgid:${to.begin}\ttimestamp:${listingTime(timestamp)}`;
  };
  const replicaLines = (volume: ArchiveVolume) => {
    if (!volume.isActive) return [];
    const at = ({ to, timestamp }: MetaState) => ({ gid: to.begin, timestamp });
    const ours = at(volume.newest);
    return [...volume.replicas].map(([archive, state]) =>
      lagText({ volume: volume.name, kind: "archive", ours, archive, theirs: at(state) }),
    );
  };
  const all = () => [...view.volumes.values()];
  return {
    state: (args) => of(args).state,
    "host-type": () => "archive",
    vol: () => [...view.volumes.keys()].sort(),
    pid: () => view.processId,
    "handler-stat": () => view.server().statistics.take(),
    "latest-snap": (args) =>
      args.length > 0
        ? [latestLine(running(args, "getLatestSnap"))]
        : all()
            .filter(({ isActive }) => isActive)
            .map(latestLine),
    uuid: (args) => uuidText(running(args, "getUuidDetail").uuid),
    "archive-uuid": (args) => uuidText(running(args, "getArchiveUuid").archiveUuid),
    "ts-delta": () => all().flatMap(replicaLines),
    diff: (args) => inRange(args).map(diffText),
    "applicable-diff": (args) => {
      const volume = running(args, "getApplicableDiff");
      return chainFrom(
        volume.base.from,
        volume.diffs.all,
        args[1] === undefined ? undefined : gidOf(args[1]),
      ).map(diffText);
    },
    "num-diff": (args) => inRange(args).length,
    "total-diff-size": (args) => inRange(args).reduce((sum, { dataBytes }) => sum + dataBytes, 0),
    "exists-diff": (args) => {
      const volume = running(wordsAtLeast(args, 5), "existsDiff");
      const [a, b, c, d] = args.slice(1, 5).map(gidOf) as [bigint, bigint, bigint, bigint];
      const found = volume.diffs.all.some(
        (diff) =>
          isSameSnapshot(diff.from, { begin: a, end: b }) && isSameSnapshot(diff.to, { begin: c, end: d }),
      );
      return found ? 1 : 0;
    },
    "exists-base-image": async (args) =>
      (await of(args).world.images.baseBytes(of(args).name)) === undefined ? 0 : 1,
    "num-action": (args) => {
      const [, action = ""] = wordsAtLeast(args, 2);
      if (!(actions as readonly string[]).includes(action))
        throw new Refusal(`getNumAction:bad action name:${action}`);
      return of(args).actionCount(action as Action);
    },
    "all-actions": () =>
      all().map((volume) =>
        [
          volume.name,
          ...actions.map(
            (action) => `${action} ${volume.actionCount(action)} ${never(volume.actionTime(action))}`,
          ),
        ].join(" "),
      ),
    restored: async (args) => (await of(args).world.images.restored(of(args).name)).map(String),
    cold: (args) => running(args, "getCold").cold.all.map(String),
    restorable: (args) => {
      const volume = running(args, "getRestorable");
      if (args[1] !== undefined && args[1] !== "all")
        throw new Refusal(`getRestorable:bad option:${args[1]}`);
      const points =
        args[1] === "all"
          ? restorePoints(volume.base, volume.diffs.all)
          : listedPoints(volume.base, volume.diffs.all);
      return points.map(
        ({ gid, timestamp, isExplicit }) => `${gid} ${listingTime(timestamp)} ${isExplicit ? 1 : 0}`,
      );
    },
    base: (args) => stateText(based(args, "getBase").base),
    "base-all": () =>
      all()
        .filter((volume) => volume.isActive || volume.state === "Stopped")
        .map((volume) => `name:${volume.name}\tmetastate:${stateText(volume.base)}`),
    "meta-snap": (args) => {
      const volume = based(args, "getMetaSnap");
      return snapshotText(
        newest(volume.base, volume.diffs.all, args[1] === undefined ? undefined : gidOf(args[1])).to,
      );
    },
    "meta-state": (args) => {
      const volume = based(wordsAtLeast(args, 2), "getMetaState");
      const state = newest(volume.base, volume.diffs.all, args[2] === undefined ? undefined : gidOf(args[2]));
      return stateText(args[1] === "1" ? { ...state, isApplying: true, from: volume.base.from } : state);
    },
    "vol-size": (args) => based(args, "getVolSize").sizeBlocks(),
    progress: (args) => of(args).progressBlocks,
    "volume-group": () => view.volumeGroup,
    thinpool: () => view.thinPool,
  };
}

export async function archiveStatus(view: ArchiveView): Promise<string[]> {
  const lines = [
    "-----ArchiveGlobal-----",
    `nodeId ${view.nodeId}`,
    `baseDir ${view.baseDir}`,
    `volumeGroup ${view.volumeGroup}`,
    `thinpool ${view.thinPool}`,
    `maxConnections ${view.connectionsMax}`,
    `maxForegroundTasks ${view.foregroundMax}`,
    `socketTimeout ${view.timeoutSeconds}`,
    keepAliveText(view.keepAlive),
    `doAutoResize ${view.grows ? 1 : 0}`,
    `keepOneColdSnapshot ${view.keepsOneCold ? 1 : 0}`,
    "-----Volume-----",
  ];
  for (const [name, volume] of [...view.volumes].sort()) {
    const hasBase = volume.isActive || volume.state === "Stopped";
    const latest = hasBase ? snapshotText(volume.newest.to) : "---";
    lines.push(
      `volume ${name} state ${volume.state} totalNumAction ${volume.actionsRunning} stopState ${volume.stopState} ` +
        `lastSyncTime ${never(volume.lastSyncTime)} lastWdiffReceivedTime ${never(volume.lastDiffTime)} ` +
        `numDiff ${hasBase ? volume.diffs.all.length : 0} latestSnapshot ${latest} size ${sizeText((await volume.sizeBlocks()) * 512)}`,
    );
  }
  return lines;
}

function replicationText({ fullReplication }: ArchiveVolume): string {
  if (fullReplication === undefined) return "None";
  const { state, progressBlocks, timestamp } = fullReplication;
  return `${stateText(state)} progressLb ${progressBlocks} timestamp ${listingTime(timestamp)}`;
}

export async function volumeStatus(volume: ArchiveVolume): Promise<string[]> {
  const { images } = volume.world;
  const blocks = await volume.sizeBlocks();
  const lines = [
    "hostType archive",
    `volume ${volume.name}`,
    `state ${volume.state}`,
    `action ${actions.map((action) => `${action} ${volume.actionCount(action)}`).join(" ")}`,
    `stopState ${volume.stopState}`,
    `lastSyncTime ${never(volume.lastSyncTime)}`,
    `lastWdiffReceivedTime ${never(volume.lastDiffTime)}`,
    `progressLb ${volume.progressBlocks}`,
  ];
  if ((await images.baseBytes(volume.name)) === undefined) return [...lines, "baseLv NOT FOUND"];
  const { base, diffs } = volume;
  return [
    ...lines,
    `sizeLb ${blocks}`,
    `size ${sizeText(blocks * 512)}`,
    `uuid ${uuidText(volume.uuid)}`,
    `archiveUuid ${uuidText(volume.archiveUuid)}`,
    `base ${stateText(base).replace(/-\d{14}$/, "")}`,
    `latest ${snapshotText(volume.newest.to)}`,
    `numCold ${volume.cold.all.length}`,
    `numRestored ${(await images.restored(volume.name)).length}`,
    `numRestorable ${listedPoints(base, diffs.all).length}`,
    `numRestorableAll ${restorePoints(base, diffs.all).length}`,
    `numDiff ${diffs.all.length}`,
    `wdiffTotalSize ${diffs.all.reduce((sum, { dataBytes }) => sum + dataBytes, 0)}`,
    `fullReplState ${replicationText(volume)}`,
  ];
}
