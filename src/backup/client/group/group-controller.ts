/**
 * The controller's library: backups, snapshots, restores, replication and maintenance of a whole group, step by step as an
 * operator would do it. Names and order of arguments are those of the original's `Controller`; every method is
 * asynchronous. Scripts and the shell see this class as `Controller`.
 */
import { NxError } from "../../../core/errors.ts";
import { realWorld } from "../../../core/seams/world-real.ts";
import { BLOCK_BYTES } from "../../formats/units.ts";
import { controllerNet } from "../controller-net.ts";
import { pointAt } from "../points.ts";
import { type ControllerWorld, type Gid, SHORT_TIMEOUT_SEC, TIMEOUT_SEC } from "./asking.ts";
import {
  type AnyServer,
  connectionOf,
  K_ARCHIVE,
  K_STORAGE,
  type ServerLayout,
  ServerStartupParam,
} from "./layout.ts";
import { SyncOpt } from "./texts.ts";
import { aActive } from "./states.ts";
import { Volumes } from "./volumes.ts";

export interface ReplicateOptions {
  timeoutS?: number;
  doResync?: boolean;
  dontMerge?: boolean;
  syncOpt?: SyncOpt;
  /** Up to here; the newest point that is restorable when absent. */
  gid?: Gid;
}

function standardWorld(): ControllerWorld {
  const { net, clock } = realWorld();
  return {
    net: controllerNet(net, clock, process.env),
    clock,
    print: (text) => void process.stdout.write(text),
  };
}

export class GroupController extends Volumes {
  readonly timeoutS: number;

  /**
   * `controllerPath` is where the original's walbc is; this library needs none. `timeoutS` bounds every wait (0: a day).
   */
  constructor(
    _controllerPath: string,
    sLayout: ServerLayout,
    isDebug = false,
    timeoutS = 0,
    world: ControllerWorld = standardWorld(),
  ) {
    super(sLayout, isDebug, world);
    this.timeoutS = timeoutS === 0 ? TIMEOUT_SEC : timeoutS;
  }

  // --- waiting -----------------------------------------------------------------------------------------------------

  async wait_for_restorable(ax: AnyServer, vol: string, gid: Gid, timeoutS = this.timeoutS): Promise<void> {
    await this.waitFor(
      `${this.nameOf(ax)}: ${vol} restorable at ${gid}`,
      async () => (await this.get_restorable_gid(ax, vol, "all")).includes(BigInt(gid)),
      timeoutS,
    );
  }

  /** The job has ended; whether it did what it should is looked at by the caller. */
  async #settled(ax: AnyServer, vol: string, action: string, timeoutS = this.timeoutS): Promise<void> {
    await this.waitFor(
      `${this.nameOf(ax)}: ${action} of ${vol} ends`,
      async () => (await this.get_num_action(ax, vol, action)) === 0,
      timeoutS,
    );
  }

  async wait_for_restored(ax: AnyServer, vol: string, gid: Gid, timeoutS = this.timeoutS): Promise<void> {
    await this.#settled(ax, vol, "Restore", timeoutS);
    if (!(await this.get_restored(ax, vol)).includes(BigInt(gid)))
      throw new NxError("NX_NOT_READY", `${this.nameOf(ax)}: the restore of ${vol} at ${gid} failed`, {
        hint: "its log says why",
      });
  }

  /** Throws when the point becomes restorable within `waitS` seconds. */
  async verify_not_restorable(ax: AnyServer, vol: string, gid: Gid, waitS: number, msg = ""): Promise<void> {
    const isThere = await this.wait_for_restorable(ax, vol, gid, waitS).then(
      () => true,
      () => false,
    );
    if (isThere)
      throw new NxError("NX_NOT_READY", `${this.nameOf(ax)}: ${vol} is restorable at ${gid} ${msg}`);
  }

  // --- backups -----------------------------------------------------------------------------------------------------

  /** One storage takes a volume's backups; all others only throw their logs away. */
  async #prepareBackup(sx: AnyServer, vol: string, syncOpt: SyncOpt): Promise<void> {
    this.demandKind(sx, K_STORAGE);
    const state = await this.get_state(sx, vol);
    if (state === "Standby") await this.stop(sx, vol);
    else if (state === "Target" || state === "WlogSend") await this.stop(sx, vol, "force");
    if ((await this.get_state(sx, vol)) !== "SyncReady") await this.reset(sx, vol);
    for (const other of this.layout.storageL) {
      if (other !== sx && !(await this.isStandbyOrClear(other, vol)))
        throw new NxError("NX_NOT_READY", `${vol} is neither Standby nor Clear on ${this.nameOf(other)}`, {
          hint: "go_standby first: a volume has one target",
        });
    }
    for (const ax of this.layout.archiveL)
      if (await this.is_synchronizing(ax, vol)) await this.stop_synchronizing(ax, vol);
    await this.start_synchronizing(this.layout.get_primary_archive(), vol, syncOpt);
  }

  async #copy(
    command: "full-bkp" | "hash-bkp",
    sx: AnyServer,
    vol: string,
    timeoutS: number,
    bulkSizeU: string,
    isDone: () => Promise<bigint | undefined>,
  ): Promise<bigint> {
    await this.command(sx, [command, vol, bulkSizeU], "accept");
    let gid: bigint | undefined;
    await this.waitFor(
      `${command} of ${vol}`,
      async () => {
        if (!["Target", "WlogSend"].includes(await this.get_state(sx, vol))) return false;
        await this.kick_storage_all();
        gid = await isDone();
        return gid !== undefined;
      },
      timeoutS,
    );
    return gid as bigint;
  }

  /** Copies a volume in full and ships its log from then on. Returns the first restorable gid; 0 without `block`. */
  async full_backup(
    sx: AnyServer,
    vol: string,
    timeoutS = this.timeoutS,
    block = true,
    bulkSizeU = "64K",
    syncOpt = new SyncOpt(),
  ): Promise<bigint> {
    const a0 = this.layout.get_primary_archive();
    await this.#prepareBackup(sx, vol, syncOpt);
    await this.initArchive(a0, vol);
    if (!block) {
      await this.command(sx, ["full-bkp", vol, bulkSizeU], "accept");
      return 0n;
    }
    return await this.#copy("full-bkp", sx, vol, timeoutS, bulkSizeU, async () =>
      (await this.get_restorable_gid(a0, vol)).at(-1),
    );
  }

  /** Compares a volume by hashes and ships its log from then on. Returns the first gid behind those of before. */
  async hash_backup(
    sx: AnyServer,
    vol: string,
    timeoutS = this.timeoutS,
    block = true,
    bulkSizeU = "64K",
    syncOpt = new SyncOpt(),
  ): Promise<bigint> {
    const a0 = this.layout.get_primary_archive();
    await this.#prepareBackup(sx, vol, syncOpt);
    const before = (await this.get_meta_snap(a0, vol)).end;
    if (!block) {
      await this.command(sx, ["hash-bkp", vol, bulkSizeU], "accept");
      return 0n;
    }
    return await this.#copy("hash-bkp", sx, vol, timeoutS, bulkSizeU, async () => {
      const gid = (await this.get_restorable_gid(a0, vol)).at(-1);
      return gid !== undefined && gid > before ? gid : undefined;
    });
  }

  snapshot_nbk(sx: AnyServer, vol: string): Promise<bigint> {
    return this.at(sx).snapshot(vol);
  }

  /** Takes a snapshot and waits until it is restorable on the archives, the primary one unless others are named. */
  async snapshot(
    sx: AnyServer,
    vol: string,
    axL: readonly AnyServer[] = [this.layout.get_primary_archive()],
    timeoutS = this.timeoutS,
  ): Promise<bigint> {
    const gid = await this.snapshot_nbk(sx, vol);
    for (const ax of axL) await this.wait_for_restorable(ax, vol, gid, timeoutS);
    return gid;
  }

  async disable_snapshot(ax: AnyServer, vol: string, gidL: readonly Gid[]): Promise<void> {
    await this.command(ax, ["disable-snapshot", vol, ...gidL.map(String)]);
  }

  async enable_snapshot(ax: AnyServer, vol: string, gidL: readonly Gid[]): Promise<void> {
    await this.command(ax, ["enable-snapshot", vol, ...gidL.map(String)]);
  }

  // --- images ------------------------------------------------------------------------------------------------------

  /** Where a restored volume of an archive that uses LVM is found; other archives say it in their logs and docs. */
  get_restored_path(ax: AnyServer, vol: string, gid: Gid): string {
    const { vg } = ax as { vg?: string };
    if (vg !== undefined) return `/dev/${vg}/wr_${vol}_${gid}`;
    const dataDir = ax instanceof ServerStartupParam || "dataDir" in ax ? String(ax.dataDir) : "";
    return `${dataDir.replace(/\/$/, "")}/${vol}/wr_${vol}_${gid}`;
  }

  async restore(ax: AnyServer, vol: string, gid: Gid, timeoutS = this.timeoutS): Promise<void> {
    await this.command(ax, ["restore", vol, String(gid)], "accept");
    await this.wait_for_restored(ax, vol, gid, timeoutS);
  }

  /** Restores the newest point that is not after a moment (`2026-11-22T08:22:06`, `-90m`); returns its gid. */
  async restore_at(ax: AnyServer, vol: string, moment: string, timeoutS = this.timeoutS): Promise<bigint> {
    const { gid } = await pointAt(this.at(ax), vol, moment, Math.floor(this.world.clock.nowMs() / 1000));
    await this.restore(ax, vol, gid, timeoutS);
    return gid;
  }

  async #retried(work: () => Promise<void>): Promise<void> {
    for (let left = 3; ; left--) {
      try {
        return await work();
      } catch (error) {
        if (left <= 1) throw error;
        await new Promise<void>((resolve) => this.world.clock.after(this.pollMs, resolve));
      }
    }
  }

  async del_restored(ax: AnyServer, vol: string, gid: Gid): Promise<void> {
    await this.#retried(() => this.command(ax, ["del-restored", vol, String(gid)]));
  }

  async del_cold(ax: AnyServer, vol: string, gid: Gid): Promise<void> {
    await this.#retried(() => this.command(ax, ["del-cold", vol, String(gid)]));
  }

  /** Writes diffs up to a restorable point into the base. */
  async apply(ax: AnyServer, vol: string, gid: Gid, timeoutS = this.timeoutS): Promise<void> {
    if (!(await this.get_restorable_gid(ax, vol, "all")).includes(BigInt(gid)))
      throw new NxError("NX_USAGE", `${this.nameOf(ax)}: ${vol} is not restorable at ${gid}`);
    await this.command(ax, ["apply", vol, String(gid)], "accept");
    await this.#settled(ax, vol, "Apply", timeoutS);
    const base = await this.get_base(ax, vol);
    if (base.isApplying || base.to.begin !== BigInt(gid))
      throw new NxError("NX_NOT_READY", `${this.nameOf(ax)}: the apply of ${vol} up to ${gid} failed`);
  }

  /** Merges the diffs between two points of the chain. */
  async merge(ax: AnyServer, vol: string, gidB: Gid, gidE: Gid, timeoutS = this.timeoutS): Promise<void> {
    const gids = (await this.get_applicable_diff_list(ax, vol)).flatMap(({ from, to }) => [
      from.begin,
      to.begin,
    ]);
    for (const gid of [gidB, gidE])
      if (!gids.includes(BigInt(gid)))
        throw new NxError(
          "NX_USAGE",
          `${this.nameOf(ax)}: ${gid} is no end of a diff on the chain of ${vol}`,
        );
    await this.command(ax, ["merge", vol, String(gidB), "gid", String(gidE)], "accept");
    await this.#settled(ax, vol, "Merge", timeoutS);
  }

  async gc_diff(ax: AnyServer, vol: string): Promise<void> {
    await this.command(ax, ["gc-diff", vol]);
  }

  // --- replication -------------------------------------------------------------------------------------------------

  async #beginReplication(
    aSrc: AnyServer,
    vol: string,
    aDst: AnyServer,
    { doResync = false, dontMerge = false, syncOpt = new SyncOpt(), gid }: ReplicateOptions,
  ): Promise<bigint> {
    this.demandKind(aSrc, K_ARCHIVE);
    this.demandKind(aDst, K_ARCHIVE);
    const upTo = gid !== undefined ? BigInt(gid) : await this.get_latest_clean_snapshot(aSrc, vol);
    const state = await this.get_state(aDst, vol);
    if (state === "Clear") await this.command(aDst, ["init-vol", vol]);
    if (aActive.includes(state)) {
      const blocks = await this.get_vol_size_lb(aSrc, vol);
      if ((await this.get_vol_size_lb(aDst, vol)) < blocks)
        await this.command(aDst, ["resize", vol, String(blocks * BLOCK_BYTES), "zeroclear"]);
    }
    const words = ["replicate", vol, "gid", String(upTo), connectionOf(aDst).get_host_port()];
    const { cmprOpt, maxWdiffMergeSizeU, bulkSizeU } = syncOpt;
    const flags = [doResync, dontMerge].map((flag) => (flag ? "1" : "0"));
    await this.command(aSrc, [...words, ...flags, String(cmprOpt), maxWdiffMergeSizeU, bulkSizeU], "accept");
    return upTo;
  }

  /** Begins one replication; returns the gid that it leads to. */
  replicate_once_nbk(
    aSrc: AnyServer,
    vol: string,
    aDst: AnyServer,
    options: ReplicateOptions = {},
  ): Promise<bigint> {
    return this.#beginReplication(aSrc, vol, aDst, options);
  }

  async wait_for_replicated(aSrc: AnyServer, vol: string, aDst: AnyServer, gid: Gid): Promise<void> {
    await this.#settled(aSrc, vol, "ReplSyncAsClient");
    const reached = aActive.includes(await this.get_state(aDst, vol))
      ? (await this.get_meta_snap(aDst, vol)).begin
      : undefined;
    if (reached === undefined || reached < BigInt(gid))
      throw new NxError("NX_NOT_READY", `${this.nameOf(aDst)}: ${vol} was not replicated up to ${gid}`, {
        hint: `the log of ${this.nameOf(aSrc)} says why; repeat it, it goes on where it was`,
      });
  }

  /** One replication up to the newest restorable point; returns its gid. */
  async replicate_once(
    aSrc: AnyServer,
    vol: string,
    aDst: AnyServer,
    options: ReplicateOptions = {},
  ): Promise<bigint> {
    const gid = await this.replicate_once_nbk(aSrc, vol, aDst, options);
    await this.wait_for_replicated(aSrc, vol, aDst, gid);
    return gid;
  }

  /** Lets the proxies forward to `aDst`, too, with nothing lost between: they are emptied, it is brought up to date. */
  async synchronize(
    aSrc: AnyServer,
    vol: string,
    aDst: AnyServer,
    options: ReplicateOptions = {},
  ): Promise<void> {
    const { proxyL } = this.layout;
    for (const px of proxyL) await this.stop(px, vol, "empty");
    try {
      for (const px of proxyL) await this.add_archive_to_proxy(px, vol, aDst, false, options.syncOpt);
      await this.replicate_once(aSrc, vol, aDst, options);
    } finally {
      for (const px of proxyL) await this.start(px, vol);
      await this.kick_storage_all();
    }
  }

  async replicate(
    aSrc: AnyServer,
    vol: string,
    aDst: AnyServer,
    synchronizing: boolean,
    options: ReplicateOptions = {},
  ): Promise<void> {
    await this.replicate_once(aSrc, vol, aDst, options);
    if (synchronizing) await this.synchronize(aSrc, vol, aDst, { ...options, doResync: false });
  }

  // --- sizes -------------------------------------------------------------------------------------------------------

  async resize_archive(ax: AnyServer, vol: string, sizeMb: number, doZeroClear: boolean): Promise<void> {
    const blocks = sizeMb * 2048;
    const words = ["resize", vol, `${sizeMb}m`, ...(doZeroClear ? ["zeroclear"] : [])];
    if ((await this.get_state(ax, vol)) === "Clear" || (await this.get_vol_size_lb(ax, vol)) >= blocks)
      return;
    await this.command(ax, words);
    await this.#settled(ax, vol, "Resize", doZeroClear ? this.timeoutS : SHORT_TIMEOUT_SEC);
    const got = await this.get_vol_size_lb(ax, vol);
    if (got < blocks)
      throw new NxError("NX_NOT_READY", `${this.nameOf(ax)}: ${vol} has ${got} blocks, not ${blocks}`);
  }

  async resize_storage(sx: AnyServer, vol: string, sizeMb: number): Promise<void> {
    if ((await this.get_state(sx, vol)) === "Clear") return;
    await this.command(sx, ["resize", vol, `${sizeMb}m`]);
  }

  /** Grows a volume everywhere: archives first, so that no diff is refused. */
  async resize(vol: string, sizeMb: number, doZeroClear: boolean): Promise<void> {
    for (const ax of this.layout.archiveL) await this.resize_archive(ax, vol, sizeMb, doZeroClear);
    for (const sx of this.layout.storageL) await this.resize_storage(sx, vol, sizeMb);
  }
}
