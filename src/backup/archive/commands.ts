/** The commands of an archive: what the controller asks it to do. Names in refusals are the original's. */
import type { Log } from "../../core/logging/log.ts";
import type { Compression } from "../formats/compression.ts";
import { BLOCK_BYTES, parseSize } from "../formats/units.ts";
import { command, gidOf, longCommand, volumeOf, wordsAtLeast } from "../server/control.ts";
import { type Protocol, Refusal, type WalbServer } from "../server/server.ts";
import {
  apply,
  demandRestorable,
  diffsToApply,
  diffsToMerge,
  type JobOptions,
  merge,
  restore,
} from "./jobs.ts";
import { replicationRequest } from "./replication/request.ts";
import { ReplicationSource, type SourceOptions } from "./replication/source.ts";
import { clearTail } from "./resize.ts";
import { repairCommands } from "./repair.ts";
import { scanCommands } from "./scan.ts";
import { type Action, activeStates, type ArchiveVolume } from "./volume.ts";

export interface CommandOptions {
  log: Log;
  server(): WalbServer;
  volume(name: string): ArchiveVolume;
  jobs: JobOptions;
  /** How other archives are reached. */
  source: SourceOptions;
  /** Of replications that name none. */
  compression: Compression;
  /** Diffs that one step of a replication merges at most. */
  mergeDiffsMax: number;
  /** Diffs that a hash or a scan opens together; 0 is no limit. */
  virtualDiffsMax: number;
  /** A volume came into being. */
  onInit(volume: ArchiveVolume): void;
  onClear(volume: ArchiveVolume): void;
}

/** Ends both what was reserved and what `begin` begins; a refusal of it gives the reservation back. */
function endOf(release: () => void, begin: () => () => void): () => void {
  try {
    const end = begin();
    return () => {
      end();
      release();
    };
  } catch (error) {
    release();
    throw error;
  }
}

export function archiveCommands(options: CommandOptions): Record<string, Protocol> {
  const { server, volume: find, jobs, log } = options;
  const of = (words: string[], least = 1) => find(volumeOf(wordsAtLeast(words, least)[0]));

  /** A job beside which diffs are received; `accept` is answered when it is certain that it can be begun. */
  const job = (
    name: string,
    action: Action,
    prepare: (words: string[], volume: ArchiveVolume) => Promise<() => Promise<void>>,
  ): Protocol =>
    longCommand(async (words) => {
      const volume = of(words, 2);
      volume.demandActive(name);
      const release = server().reserveForeground(name);
      const end = endOf(release, () => volume.begin(name, action));
      try {
        const work = await prepare(words, volume);
        return () =>
          work()
            .catch((error: unknown) =>
              log.error(`${name} failed: ${(error as Error).message}`, { volume: volume.name }),
            )
            .finally(end);
      } catch (error) {
        end();
        throw error;
      }
    });

  const init = async (volume: ArchiveVolume) => {
    await volume.init();
    options.onInit(volume);
  };

  const setMergeable = (name: string, isMergeable: boolean): Protocol =>
    command(async (words) => {
      const volume = of(words, 2);
      volume.demandActive(name);
      volume.demandNoAction(name, ["Apply", "Merge"]);
      let failed = 0;
      for (const word of words.slice(1))
        if (!(await volume.diffs.setMergeable(gidOf(word), isMergeable))) failed += 1;
      if (failed > 0)
        throw new Refusal(
          `${name}:changeSnapshot:change snapshot failed:${volume.name}:${words.length - 1 - failed}`,
        );
    });

  return {
    "init-vol": command(async (words) => {
      const volume = of(words);
      if (volume.state !== "Clear")
        throw new Refusal(`c2aInitVolServer:StateMachineTransaction:bad state:${volume.state}:Clear:InitVol`);
      await volume.during("InitVol", () => init(volume));
    }),
    "clear-vol": command(async (words) => {
      const volume = of(words);
      volume.demandState("c2aClearVolServer", ["SyncReady", "Stopped"]);
      volume.demandNoAction("c2aClearVolServer");
      await volume.during("ClearVol", () => volume.clear());
      options.onClear(volume);
    }),
    "reset-vol": command(async (words) => {
      const volume = of(words);
      volume.demandState("c2aResetVolServer", ["SyncReady", "Stopped"]);
      volume.demandNoAction("c2aResetVolServer");
      await volume.during("ResetVol", async () => {
        await volume.clear();
        await init(volume);
      });
    }),
    start: command(async (words) => {
      const volume = of(words);
      volume.demandState("c2aStartServer", ["Stopped"]);
      volume.demandNoAction("c2aStartServer");
      await volume.setState("Archived");
    }),
    stop: longCommand(async (words) => {
      const volume = of(words);
      volume.demandActive("c2aStopServer");
      const isForced = (words[1] ?? "g").startsWith("f");
      return () =>
        volume
          .stop(isForced)
          .catch((error: Error) => log.error(`stop failed: ${error.message}`, { volume: volume.name }));
    }),
    restore: job("c2aRestoreServer", "Restore", async (words, volume) => {
      const gid = gidOf(words[1] as string);
      await demandRestorable(volume, gid);
      return () => restore(volume, gid, jobs);
    }),
    apply: job("c2aApplyServer", "Apply", async (words, volume) => {
      const gid = gidOf(words[1] as string);
      if (diffsToApply(volume, gid).length === 0)
        throw new Refusal("verifyApplicable:There is no diff to apply.");
      return () => apply(volume, gid, jobs);
    }),
    merge: job("c2aMergeServer", "Merge", async (words, volume) => {
      const [, begin = "", kind = "", end = ""] = wordsAtLeast(words, 4);
      if (kind !== "gid" && kind !== "size") throw new Refusal(`c2aMergeServer:bad type:${kind}`);
      if (volume.base.isApplying) throw new Refusal("c2aMergeServer:the base image is being applied to");
      const limit = kind === "gid" ? { upTo: gidOf(end) } : { bytesMax: Number(gidOf(end)) * 2 ** 20 };
      const diffs = diffsToMerge(volume, gidOf(begin), limit);
      if (diffs.length < 2) throw new Refusal("verifyMergeable:There is no mergeable diff.");
      return () => merge(volume, diffs);
    }),
    replicate: job("c2aReplicateServer", "ReplSyncAsClient", async (words, volume) => {
      const source = await ReplicationSource.open(volume, replicationRequest(words, options), options.source);
      return async () => void (await source.run());
    }),
    "del-restored": command(async (words) => {
      const volume = of(words, 2);
      const gid = gidOf(words[1] as string);
      volume.demandNoAction("c2aDelRestoredServer", ["Restore", "Resize"]);
      if (!(await volume.world.images.restored(volume.name)).includes(gid))
        throw new Refusal(`c2aDelRestoredServer:not found:${volume.name}:${gid}`);
      await volume.world.images.removeRestored(volume.name, gid);
    }),
    "del-cold": command(async (words) => {
      const volume = of(words, 2);
      const gid = gidOf(words[1] as string);
      volume.demandState("c2aDelColdServer", [...activeStates, "Stopped"]);
      volume.demandNoAction("c2aDelColdServer", ["Restore", "Resize"]);
      if (!volume.cold.all.includes(gid))
        throw new Refusal(`c2aDelColdServer:not found:${volume.name}:${gid}`);
      await volume.cold.remove(gid);
    }),
    "disable-snapshot": setMergeable("c2aDisableSnapshot", true),
    "enable-snapshot": setMergeable("c2aEnableSnapshot", false),
    "gc-diff": command(async (words) => {
      const volume = of(words);
      volume.demandNoAction("c2aGcDiffServer");
      volume.demandState("c2aGcDiffServer", ["Archived", "Stopped"]);
      await volume.removeGarbage();
    }),
    resize: command(async (words) => {
      const volume = of(words, 2);
      volume.demandState("c2aResizeServer", ["SyncReady", "Stopped", ...activeStates]);
      const bytes = parseSize(words[1] as string);
      if (bytes === undefined || bytes % BLOCK_BYTES !== 0)
        throw new Refusal(`c2aResizeServer:bad size:${words[1]}`);
      const end = volume.begin("c2aResizeServer", "Resize");
      let isGoingOn = false;
      try {
        const before = await volume.sizeBlocks();
        if (bytes < before * BLOCK_BYTES) throw new Refusal("c2aResizeServer:shrink is not supported");
        await volume.world.images.growBase(volume.name, bytes);
        if (words[2] !== "zeroclear") return;
        isGoingOn = true;
        void clearTail(volume, before)
          .catch((error: Error) => log.error(`zeroclear failed: ${error.message}`, { volume: volume.name }))
          .finally(end);
      } finally {
        if (!isGoingOn) end();
      }
    }),
    "dbg-reload-metadata": command(async (words) => {
      const volume = of(words);
      volume.demandNoAction("c2aReloadMetadataServer");
      await volume.reloadMetadata();
      await volume.diffs.reload();
    }),
    ...repairCommands(of),
    ...scanCommands({ server, of, diffsMax: options.virtualDiffsMax }),
  };
}
