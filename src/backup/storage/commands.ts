/** The commands of a storage's controller: which states they need, what they pass through, where they end. */
import { join } from "node:path";
import type { Log } from "../../core/logging/log.ts";
import { sleep, type Clock } from "../../core/seams/clock.ts";
import type { Disk } from "../../core/seams/disk.ts";
import type { Net } from "../../core/seams/net.ts";
import { writeFileAtomically } from "../../core/seams/durable-files.ts";
import { parseCompression, snappy } from "../formats/compression.ts";
import { parseSize } from "../formats/units.ts";
import { command, gidOf, longCommand, volumeOf, wordsAtLeast } from "../server/control.ts";
import { openProtocol, type Protocol, Refusal, type ServerCall, type WalbServer } from "../server/server.ts";
import { Writer } from "../wire/serial.ts";
import { BULK_BLOCKS_MAX } from "../wire/streams.ts";
import type { AddressPort } from "../wire/values.ts";
import type { Volumes } from "../volume/volumes.ts";
import type { Framer } from "./ship.ts";
import { fullSync, hashSync, type SyncOptions } from "./sync.ts";
import type { StorageVolume } from "./volume.ts";

export interface CommandOptions {
  net: Net;
  clock: Clock;
  disk: Disk;
  log: Log;
  nodeId: string;
  timeoutMs: number;
  archive: AddressPort;
  compression: string;
  framer: Framer;
  volumes: Volumes;
  server(): WalbServer;
  volume(name: string): StorageVolume;
  onInit(volume: StorageVolume): void;
  onClear(volume: StorageVolume): void;
  /** Begins to ship. */
  onTarget(volume: StorageVolume): void;
  /** Ends shipping; resolves when none runs. */
  onNoTarget(volume: StorageVolume, isForced: boolean): Promise<void>;
  /** Shipping goes on: a transfer took longer than its end was waited for. */
  onStillTarget(volume: StorageVolume): void;
  kick(): Promise<void>;
  kickVolume(volume: StorageVolume): void;
  fullScan: { bytesPerSecond: number };
}

const BULK_BYTES = 256 << 10;
const STOP_TIMEOUT_MS = 60_000;

function sizeOf(text: string | undefined, what: string): number {
  const size = parseSize(text ?? "");
  if (size === undefined) throw new Refusal(`bad ${what}:${text ?? ""}`);
  return size;
}

export function storageCommands(options: CommandOptions): Record<string, Protocol> {
  const { volume: find } = options;
  const of = (words: string[], least = 1) => find(volumeOf(wordsAtLeast(words, least)[0]));
  return {
    "init-vol": command(async (words) => {
      const volume = of(words, 2);
      volume.demandState("c2sInitVolServer", "Clear");
      const device = words[1] as string;
      const engine = options.volumes.find(device);
      if (engine === undefined) throw new Refusal(`c2sInitVolServer:no such volume:${device}`);
      await volume.during("InitVol", () => volume.init(device, engine));
      options.onInit(volume);
    }),
    "clear-vol": command(async (words) => {
      const volume = of(words);
      volume.demandState("c2sClearVolServer", "SyncReady");
      await volume.during("ClearVol", () => volume.clear());
      options.onClear(volume);
    }),
    "reset-vol": command(async (words) => {
      const volume = of(words);
      volume.demandState("c2sResetVolServer", "Stopped");
      const gid = words[1] === undefined ? 0n : gidOf(words[1]);
      await volume.during("Reset", async () => {
        await volume.resetLog(gid);
        await volume.setState("SyncReady");
      });
    }),
    start: command((words) => start(options, of(words, 2), words[1] as string)),
    stop: longCommand(async (words) => {
      const volume = of(words);
      volume.demandState("c2sStopServer", "Target", "Standby");
      return () =>
        stopVolume(options, volume, (words[1] ?? "g").startsWith("f")).catch((error: Error) =>
          options.log.error(`stop failed: ${error.message}`, { volume: volume.name }),
        );
    }),
    "full-bkp": (call) => backup(options, call, "FullSync"),
    "hash-bkp": (call) => backup(options, call, "HashSync"),
    snapshot: async (call) => {
      const volume = of(await call.reader.texts());
      volume.demandState("c2sSnapshotServer", "Target", "Stopped");
      volume.demandNoOverflow("c2sSnapshotServer");
      const gid = await volume.snapshot(false);
      options.kickVolume(volume);
      await call.answer("ok");
      await call.send(new Writer().u64(gid));
    },
    resize: command(async (words) => {
      const volume = of(words, 2);
      volume.demandState("c2sResizeServer", "SyncReady", "Stopped", "Target", "Standby");
      await options.volumes.grow(volume.attached.name, sizeOf(words[1], "size"));
    }),
    kick: command(() => options.kick()),
    "set-full-scan-bps": command(async (words) => {
      options.fullScan.bytesPerSecond = sizeOf(wordsAtLeast(words, 1)[0], "size");
    }),
    "dbg-reload-metadata": command((words) => of(words).load()),
    "dbg-dump-logpack-header": command(async (words) => {
      const volume = of(words, 2);
      const lsid = gidOf(words[1] as string);
      const header = await volume.attached.readLog(lsid, 1);
      await writeFileAtomically(options.disk, join(volume.directory, `logpackheader-${lsid}`), header);
    }),
  };
}

async function start(options: CommandOptions, volume: StorageVolume, mode: string): Promise<void> {
  const name = "c2sStartServer";
  if (mode.startsWith("t")) {
    volume.demandState(name, "Stopped");
    volume.demandNoOverflow(name);
    await volume.during("StartTarget", () => volume.setState("Target"));
    return options.onTarget(volume);
  }
  if (!mode.startsWith("s")) throw new Refusal(`${name}:bad mode:${mode}`);
  volume.demandState(name, "SyncReady");
  await volume.during("StartStandby", async () => {
    if (volume.isOverflow) await volume.resetLog(0n);
    await volume.setState("Standby");
  });
}

export async function stopVolume(
  { clock, onNoTarget, onStillTarget }: Pick<CommandOptions, "clock" | "onNoTarget" | "onStillTarget">,
  volume: StorageVolume,
  isForced: boolean,
): Promise<void> {
  if (volume.steadyState === "Standby")
    return await volume.during("StopStandby", () => volume.setState("SyncReady"));
  volume.stopState = isForced ? "ForceStopping" : "Stopping";
  try {
    await volume.during("StopTarget", async () => {
      const timeout = sleep(clock, STOP_TIMEOUT_MS).then(() => {
        throw new Refusal("a transfer is still running");
      });
      timeout.catch(() => undefined);
      await Promise.race([onNoTarget(volume, isForced), timeout]);
      await volume.setState("Stopped");
    });
  } catch (error) {
    onStillTarget(volume);
    throw error;
  } finally {
    volume.stopState = "NotStopping";
  }
}

/** `full-bkp VOL [BULK]` and `hash-bkp VOL [BULK]`: answers when the archive has accepted, and goes on by itself. */
async function backup(
  options: CommandOptions,
  call: ServerCall,
  state: "FullSync" | "HashSync",
): Promise<void> {
  const words = wordsAtLeast(await call.reader.texts(), 1);
  const volume = options.volume(volumeOf(words[0]));
  const name = state === "FullSync" ? "c2sFullBkpServer" : "c2sHashBkpServer";
  volume.demandState(name, "SyncReady");
  const bulkBytes = words[1] === undefined ? BULK_BYTES : sizeOf(words[1], "bulk size");
  if (bulkBytes < 512 || bulkBytes % 512 !== 0 || bulkBytes / 512 > BULK_BLOCKS_MAX)
    throw new Refusal(`${name}:bad bulk size:${words[1]}`);
  await options.server().foreground(name, async () => {
    try {
      await volume.during(state, () => sync(options, call, volume, { state, bulkBytes }));
    } catch (error) {
      // The log began anew for nothing: it is not kept for a transfer that does not come.
      await volume.setState("SyncReady");
      throw error;
    }
    options.onTarget(volume);
  });
}

async function sync(
  { net, clock, nodeId, timeoutMs, archive, compression, framer, fullScan, log }: CommandOptions,
  call: ServerCall,
  volume: StorageVolume,
  { state, bulkBytes }: { state: "FullSync" | "HashSync"; bulkBytes: number },
): Promise<void> {
  const protocol = state === "FullSync" ? "dirty-full-sync3" : "dirty-hash-sync2";
  const ids = { clientId: nodeId, protocol };
  const { conversation } = await openProtocol(net, archive, ids, { clock, timeoutMs });
  const syncOptions: SyncOptions = {
    clock,
    framer,
    bulkBytes,
    compression: parseCompression(compression) ?? snappy,
    bytesPerSecond: () => fullScan.bytesPerSecond,
    onAccepted: async () => {
      await call.answer("accept");
      call.conversation.end();
    },
    check: () => {
      if (volume.stopState === "ForceStopping") throw new Refusal("stopped by force");
    },
  };
  try {
    const run = state === "FullSync" ? fullSync : hashSync;
    const { begin, end } = await run(conversation, volume, syncOptions);
    await volume.setState("Stopped");
    await volume.setState("Target");
    log.info(`${state} done: |${begin},${end}|`, { volume: volume.name });
  } finally {
    conversation.end();
  }
}
