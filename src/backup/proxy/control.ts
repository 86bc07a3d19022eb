/** What a proxy answers its controller: `get` targets and the text of `status`, word for word as the original's. */
import { diffText, type MetaDiff } from "../algebra/snapshot.ts";
import { compressionText } from "../formats/compression.ts";
import { listingTime, sizeText } from "../formats/units.ts";
import type { KeepAlive } from "../../core/seams/net.ts";
import { type GetTarget, keepAliveText, volumeOf, wordsAtLeast } from "../server/control.ts";
import type { WalbServer } from "../server/server.ts";
import type { Sender } from "./sender.ts";
import type { ProxyVolume } from "./volume.ts";

export interface ProxyView {
  nodeId: string;
  baseDir: string;
  config: {
    sendBytesMax: number;
    retryMinMs: number;
    retryMaxMs: number;
    giveUpSeconds: number;
    connectionsMax: number;
    keepAlive?: KeepAlive | undefined;
    foregroundMax: number;
    backgroundMax: number;
    socketTimeoutMs: number;
  };
  volumes: ReadonlyMap<string, ProxyVolume>;
  volume(name: string): ProxyVolume;
  sender(volume: ProxyVolume, archive: string): Sender | undefined;
  server(): WalbServer;
  processId: number;
}

const totalOf = (diffs: readonly MetaDiff[]) => diffs.reduce((sum, { dataBytes }) => sum + dataBytes, 0);

/** All diffs of a volume that wait anywhere; one that waits for two archives counts once. */
function waiting(volume: ProxyVolume): MetaDiff[] {
  const known = new Map<string, MetaDiff>();
  for (const { diffs } of volume.queues.values())
    for (const diff of diffs.all) known.set(`${diff.from.begin}-${diff.to.begin}`, diff);
  return [...known.values()].sort((a, b) => (a.from.begin < b.from.begin ? -1 : 1));
}

export function proxyTargets(view: ProxyView): Record<string, GetTarget> {
  const of = (args: string[]) => view.volume(volumeOf(wordsAtLeast(args, 1)[0]));
  const latestLines = (volume: ProxyVolume) =>
    [...volume.queues.values()].map(({ name, diffs }) => {
      const newest = diffs.all.at(-1);
      const gid = newest === undefined ? "" : String(newest.to.begin);
      const time = newest === undefined ? "" : listingTime(newest.timestamp);
      return `name:${volume.name}\tkind:proxy\tarchive:${name}\tgid:${gid}\ttimestamp:${time}`;
    });
  return {
    state: (args) => of(args).shownState,
    "host-type": () => "proxy",
    vol: () => [...view.volumes.keys()].sort(),
    pid: () => view.processId,
    "handler-stat": () => view.server().statistics.take(),
    "latest-snap": (args) => (args.length > 0 ? [of(args)] : [...view.volumes.values()]).flatMap(latestLines),
    "is-wdiff-send-error": (args) => {
      const volume = of(args);
      const [, archive = ""] = wordsAtLeast(args, 2);
      volume.queue(archive);
      return view.sender(volume, archive)?.hasGivenUp === true ? 1 : 0;
    },
    "proxy-diff": (args) => {
      const volume = of(args);
      return (args[1] === undefined ? waiting(volume) : [...volume.queue(args[1]).diffs.all]).map(diffText);
    },
  };
}

export function proxyStatus(view: ProxyView): string[] {
  const { config } = view;
  const lines = [
    "-----ProxyGlobal-----",
    `nodeId ${view.nodeId}`,
    `baseDir ${view.baseDir}`,
    `maxWdiffSendMb ${Math.floor(config.sendBytesMax / 2 ** 20)}`,
    `minDelaySecForRetry ${config.retryMinMs / 1000}`,
    `maxDelaySecForRetry ${config.retryMaxMs / 1000}`,
    `retryTimeout ${config.giveUpSeconds}`,
    `maxConnections ${config.connectionsMax}`,
    `maxForegroundTasks ${config.foregroundMax}`,
    `maxBackgroundTasks ${config.backgroundMax}`,
    `socketTimeout ${config.socketTimeoutMs / 1000}`,
    keepAliveText(view.config.keepAlive),
    "-----TaskQueue 0-----",
    "-----Volume-----",
  ];
  for (const [name, volume] of [...view.volumes].sort()) {
    const all = waiting(volume);
    lines.push(
      `volume ${name} state ${volume.shownState} numDiff ${all.length} totalSize ${totalOf(all)} timestamp ${listingTime(volume.lastReceivedTime)}`,
    );
    for (const { name: archive, diffs } of volume.queues.values()) {
      const sender = view.sender(volume, archive);
      const [first, last] = [diffs.all[0], diffs.all.at(-1)];
      lines.push(
        `  archive ${archive} action ${sender?.isRunning === true ? "WdiffSend" : "None"} numDiff ${diffs.all.length} totalSize ${totalOf(diffs.all)} ` +
          `minGid ${first?.from.begin ?? 0} maxGid ${last?.to.begin ?? 0} ${listingTime(sender?.lastSentTime ?? 0)}`,
      );
    }
  }
  return lines;
}

export function volumeStatus(view: ProxyView, volume: ProxyVolume): string[] {
  const all = waiting(volume);
  const senders = [...volume.queues.keys()].map((name) => view.sender(volume, name));
  const lines = [
    "hostType proxy",
    `volume ${volume.name}`,
    `state ${volume.shownState}`,
    `sizeLb ${volume.blocks}`,
    `size ${sizeText(volume.blocks * 512)}`,
    `numDiff ${all.length}`,
    `totalSize ${totalOf(all)}`,
    `lastWlogReceivedTime ${listingTime(volume.lastReceivedTime)}`,
    `totalNumAction ${senders.filter((sender) => sender?.isRunning === true).length}`,
    "-----Archive-----",
  ];
  for (const { name, forwarding, diffs } of volume.queues.values()) {
    const sender = view.sender(volume, name);
    lines.push(
      `  archive ${name}`,
      `  host ${forwarding.archive.host}:${forwarding.archive.port}`,
      `  compression ${compressionText(forwarding.compression)}`,
      `  wdiffSendDelay ${forwarding.delaySeconds}`,
      `  action ${sender?.isRunning === true ? "WdiffSend" : "None"}`,
      `  numDiff ${diffs.all.length}`,
      `  lastWdiffSentTime ${listingTime(sender?.lastSentTime ?? 0)}`,
      `  isWdiffSendError ${sender?.hasGivenUp === true ? 1 : 0}`,
      `  wdiffTotalSize ${totalOf(diffs.all)}`,
      "  wdiffSendDelayMeasured 0",
    );
  }
  return lines;
}
