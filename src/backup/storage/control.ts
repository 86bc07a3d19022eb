/** What a storage answers its controller: `get` targets and the text of `status`, word for word as the original's. */
import { listingTime, sizeText, uuidText } from "../formats/units.ts";
import type { KeepAlive } from "../../core/seams/net.ts";
import { type GetTarget, keepAliveText, volumeOf, wordsAtLeast } from "../server/control.ts";
import { Refusal, type WalbServer } from "../server/server.ts";
import type { AddressPort } from "../wire/values.ts";
import type { Mark } from "./cuts.ts";
import type { Lag } from "./lag.ts";
import type { Proxies } from "./proxies.ts";
import type { StorageVolume } from "./volume.ts";

export interface StorageView {
  nodeId: string;
  baseDir: string;
  config: {
    shipBytesMax: number;
    retryMinMs: number;
    retryMaxMs: number;
    connectionsMax: number;
    keepAlive?: KeepAlive | undefined;
    foregroundMax: number;
    backgroundMax: number;
    socketTimeoutMs: number;
  };
  archive: AddressPort;
  proxies: Proxies;
  lag: Lag;
  volumes: ReadonlyMap<string, StorageVolume>;
  volume(name: string): StorageVolume;
  fullScanBytesPerSecond(): number;
  server(): WalbServer;
  processId: number;
}

const flag = (value: boolean) => (value ? 1 : 0);
const newestMark = ({ queue, done }: StorageVolume): Mark => queue.at(-1) ?? done;
const isMonitored = ({ steadyState }: StorageVolume) => steadyState === "Target" || steadyState === "Standby";

export function storageTargets(view: StorageView): Record<string, GetTarget> {
  const of = (args: string[]) => view.volume(volumeOf(wordsAtLeast(args, 1)[0]));
  const some = (args: string[]) => (args.length > 0 ? [of(args)] : [...view.volumes.values()]);
  return {
    state: (args) => of(args).state,
    "host-type": () => "storage",
    vol: () => [...view.volumes.keys()].sort(),
    pid: () => view.processId,
    "handler-stat": () => view.server().statistics.take(),
    "latest-snap": (args) =>
      some(args).map((volume) => {
        const { gid, lsid, timestamp } = newestMark(volume);
        return `name:${volume.name}\tkind:storage\tgid:${gid}\tlsid:${lsid}\ttimestamp:${listingTime(timestamp)}`;
      }),
    uuid: (args) => uuidText(of(args).uuid),
    "ts-delta": () => view.lag.lines(),
    "is-overflow": (args) => flag(of(args).isOverflow),
    "log-usage": (args) =>
      some(args).map(({ name, attached }) => {
        const { usage, ringBlocks, physicalBytes } = attached;
        return `name:${name}\tusage_pb:${usage}\tcapacity_pb:${ringBlocks}\tpbs:${physicalBytes}`;
      }),
    progress: (args) => of(args).progressBlocks,
    "num-action": (args) => {
      const [, action = ""] = wordsAtLeast(args, 2);
      if (action !== "WlogSend" && action !== "WlogRemove") throw new Refusal(`no such action:${action}`);
      return flag(action === "WlogSend" && of(args).isShipping);
    },
  };
}

export function storageStatus(view: StorageView): string[] {
  const { config, archive, proxies } = view;
  const host = ({ host: name, port }: AddressPort) => `host ${name}:${port}:${port}`;
  return [
    "-----StorageGlobal-----",
    `nodeId ${view.nodeId}`,
    `baseDir ${view.baseDir}`,
    `maxWlogSendMb ${Math.floor(config.shipBytesMax / 2 ** 20)}`,
    `minDelaySecForRetry ${config.retryMinMs / 1000}`,
    `maxDelaySecForRetry ${config.retryMaxMs / 1000}`,
    `maxConnections ${config.connectionsMax}`,
    `maxForegroundTasks ${config.foregroundMax}`,
    `maxBackgroundTasks ${config.backgroundMax}`,
    `socketTimeout ${config.socketTimeoutMs / 1000}`,
    keepAliveText(view.config.keepAlive),
    `fullScanLbPerSec ${Math.floor(view.fullScanBytesPerSecond() / 512)}`,
    "-----Archive-----",
    host(archive),
    "-----Proxy-----",
    ...proxies.peers.map(
      ({ address, isAvailable }) =>
        `${host(address)} isAvailable ${flag(isAvailable)} timeToNextCheck ${proxies.secondsToCheck()}`,
    ),
    "-----TaskQueue-----",
    "-----Volume-----",
    ...[...view.volumes].sort().map(([name, volume]) => {
      const { engine, done } = volume;
      return (
        `volume ${name} state ${volume.state} logUsagePb ${engine?.usage ?? 0} logCapacityPb ${engine?.ringBlocks ?? 0} ` +
        `oldestGid ${done.gid} latestGid ${newestMark(volume).gid} oldestLsid ${done.lsid} permanentLsid ${engine?.log.durable ?? 0}`
      );
    }),
  ];
}

const markText = ({ timestamp, isMergeable, lsid, gid }: Mark) =>
  `LsidGid timestamp ${listingTime(timestamp)} isMergeable ${flag(isMergeable)} lsid ${lsid} gid ${gid}`;

export function volumeStatus(volume: StorageVolume): string[] {
  const { engine, name } = volume;
  if (volume.state === "Clear") return ["hostType storage", `volId ${name}`, "state Clear"];
  const blocks = (engine?.bytes ?? 0) / 512;
  return [
    "hostType storage",
    `volId ${name}`,
    `state ${volume.state}`,
    `action WlogSend ${flag(volume.isShipping)} WlogRemove 0`,
    `stopState ${volume.stopState}`,
    `isUnderMonitoring ${flag(isMonitored(volume))}`,
    `wdevPath ${volume.path}`,
    `sizeLb ${blocks}`,
    `size ${sizeText(blocks * 512)}`,
    `isOverflow ${flag(volume.isOverflow)}`,
    `logUsagePb ${engine?.usage ?? 0}`,
    `logCapacityPb ${engine?.ringBlocks ?? 0}`,
    `uuid ${uuidText(volume.uuid)}`,
    `pbs ${engine?.physicalBytes ?? 0}`,
    `salt ${(engine?.salt ?? 0).toString(16).padStart(8, "0")}`,
    "-----DoneFile-----",
    markText(volume.done),
    "-----QueueFile-----",
    ...volume.queue.toReversed().map(markText),
  ];
}
