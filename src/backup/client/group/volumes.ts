/**
 * The controller's library: bringing volumes into states, and forwarding diffs from proxies to archives. Names are the
 * original's.
 *
 * Invariant: what stops a volume to change something starts it again, also when the change fails.
 */
import { NxError } from "../../../core/errors.ts";
import { Asking } from "./asking.ts";
import { type AnyServer, connectionOf, K_ARCHIVE, K_PROXY, K_STORAGE } from "./layout.ts";
import { aActive, duringStop, pActive, sClear, sStandby } from "./states.ts";
import { SyncOpt } from "./texts.ts";

export type StopMode = "graceful" | "empty" | "force";

const standbyOrClear: readonly string[] = [sStandby, sClear];

export class Volumes extends Asking {
  // --- start and stop ----------------------------------------------------------------------------------------------

  /** Waits until a volume has left `prevSt` and the stopping behind it. */
  async wait_for_stopped(s: AnyServer, vol: string, prevSt: string): Promise<void> {
    let state = prevSt;
    await this.waitFor(`${vol} stops on ${this.nameOf(s)}`, async () => {
      state = await this.get_state(s, vol);
      const isStopping = state === prevSt || duringStop.includes(state) || state === "WlogRecv";
      return !isStopping && !aActive.includes(state) && !pActive.includes(state);
    });
  }

  /** Asks a volume to stop; returns the state that it had. */
  async stop_nbk(s: AnyServer, vol: string, mode: StopMode = "graceful"): Promise<string> {
    const before = await this.get_state(s, vol);
    await this.command(s, ["stop", vol, mode], "accept");
    return before;
  }

  async stop(s: AnyServer, vol: string, mode: StopMode = "graceful"): Promise<void> {
    await this.wait_for_stopped(s, vol, await this.stop_nbk(s, vol, mode));
  }

  /** Starts a volume; on a storage as the target of a backup. */
  async start(s: AnyServer, vol: string): Promise<void> {
    const isStorage = connectionOf(s).kind === K_STORAGE;
    await this.command(s, ["start", vol, ...(isStorage ? ["target"] : [])]);
  }

  /** Runs `work` with a volume of a proxy stopped, if it was started; starts it again. */
  protected async whileStopped(
    px: AnyServer,
    vol: string,
    mode: StopMode,
    work: () => Promise<void>,
    doStart: "asBefore" | "always" | "never" = "asBefore",
  ): Promise<void> {
    const wasStarted = pActive.includes(await this.get_state(px, vol));
    if (wasStarted) await this.stop(px, vol, mode);
    try {
      await work();
    } finally {
      const state = await this.get_state(px, vol).catch(() => "unknown");
      const mustStart = doStart === "always" || (doStart === "asBefore" && wasStarted);
      if (mustStart && state === "Stopped") await this.start(px, vol);
    }
  }

  // --- making and removing volumes -----------------------------------------------------------------------------------

  /** Begins a volume anew and sees that it waits for a copy. */
  async reset(s: AnyServer, vol: string): Promise<void> {
    await this.command(s, ["reset-vol", vol]);
    await this.verify_state(s, vol, "SyncReady");
  }

  async init_storage(sx: AnyServer, vol: string, wdevPath: string): Promise<void> {
    this.demandKind(sx, K_STORAGE);
    await this.command(sx, ["init-vol", vol, wdevPath]);
    await this.go_standby(sx, vol);
  }

  /** Lets a storage only throw its log away. From Target, forwarding to the primary archive ends first. */
  async go_standby(sx: AnyServer, vol: string): Promise<void> {
    this.demandKind(sx, K_STORAGE);
    const state = await this.get_state(sx, vol);
    if (state === "Standby") return;
    if (state === "Target" || state === "WlogSend") {
      await this.stop(sx, vol, "force");
      await this.stop_synchronizing(this.layout.get_primary_archive(), vol);
    }
    if (state !== "SyncReady") await this.reset(sx, vol);
    await this.command(sx, ["start", vol, "standby"]);
  }

  /** Removes a volume from a server, whatever its state. */
  async clear(s: AnyServer, vol: string): Promise<void> {
    let state = await this.get_state(s, vol);
    if (state === "Clear") return;
    if (!["SyncReady", "Stopped"].includes(state)) {
      await this.stop(s, vol, "force");
      state = await this.get_state(s, vol);
    }
    if (connectionOf(s).kind === K_STORAGE && state === "Stopped") await this.reset(s, vol);
    await this.command(s, ["clear-vol", vol]);
    await this.verify_state(s, vol, "Clear");
  }

  /** Makes a volume on an archive that waits for a copy, from whatever is there. */
  protected async initArchive(ax: AnyServer, vol: string): Promise<void> {
    const state = await this.get_state(ax, vol);
    if (state === "SyncReady") return;
    if (aActive.includes(state)) await this.stop(ax, vol, "graceful");
    if (state === "Clear") await this.command(ax, ["init-vol", vol]);
    else await this.reset(ax, vol);
  }

  // --- jobs that wait ------------------------------------------------------------------------------------------------

  async kick_all(sL: readonly AnyServer[]): Promise<void> {
    for (const s of sL) await this.command(s, ["kick"]);
  }

  async kick_storage_all(): Promise<void> {
    // A storage that is down finds out by itself when it starts.
    for (const sx of this.layout.storageL) await this.command(sx, ["kick"]).catch(() => undefined);
  }

  async kick_proxy(vol: string, ax?: AnyServer): Promise<void> {
    const words = ["kick", vol, ...(ax === undefined ? [] : [this.nameOf(ax)])];
    for (const px of this.layout.proxyL) await this.command(px, words);
  }

  async set_full_scan_bps(sx: AnyServer, throughput: string): Promise<void> {
    await this.command(sx, ["set-full-scan-bps", throughput]);
  }

  async shutdown(s: AnyServer, mode: "graceful" | "force" = "graceful"): Promise<void> {
    await this.at(s).shutdown(mode === "force");
  }

  /** Ends servers; one that does not answer is passed over. */
  async shutdown_list(sL: readonly AnyServer[], mode: "graceful" | "force" = "graceful"): Promise<void> {
    for (const s of sL) await this.shutdown(s, mode).catch(() => undefined);
  }

  async shutdown_all(mode: "graceful" | "force" = "graceful"): Promise<void> {
    await this.shutdown_list(this.layout.get_all(), mode);
  }

  // --- forwarding ----------------------------------------------------------------------------------------------------

  async #has(px: AnyServer, vol: string, ax: AnyServer): Promise<boolean> {
    if ((await this.get_state(px, vol)) === "Clear") return false;
    return (await this.get_archive_info_list(px, vol)).includes(this.nameOf(ax));
  }

  /** Whether every proxy forwards to the archive; throws when only some do. */
  async is_synchronizing(ax: AnyServer, vol: string): Promise<boolean> {
    const having: string[] = [];
    for (const px of this.layout.proxyL) if (await this.#has(px, vol, ax)) having.push(this.nameOf(px));
    const { length } = this.layout.proxyL;
    if (having.length === 0 || having.length === length) return having.length > 0;
    throw new NxError("NX_NOT_READY", `only ${having.join(", ")} forward ${vol} to ${this.nameOf(ax)}`, {
      hint: "start_synchronizing or stop_synchronizing brings the proxies into line",
    });
  }

  #archiveInfo(ax: AnyServer, { cmprOpt, delayS }: SyncOpt): string[] {
    return [this.nameOf(ax), connectionOf(ax).get_host_port(), String(cmprOpt), String(delayS)];
  }

  /** Changes how an archive is sent to; the volume must be stopped. */
  async update_archive_info(
    px: AnyServer,
    vol: string,
    ax: AnyServer,
    syncOpt = new SyncOpt(),
  ): Promise<void> {
    await this.run_ctl(px, ["archive-info", "update", vol, ...this.#archiveInfo(ax, syncOpt)]);
  }

  async add_archive_to_proxy(
    px: AnyServer,
    vol: string,
    ax: AnyServer,
    doStart = true,
    syncOpt = new SyncOpt(),
  ): Promise<void> {
    this.demandKind(px, K_PROXY);
    this.demandKind(ax, K_ARCHIVE);
    const add = async () => {
      if (await this.#has(px, vol, ax)) await this.update_archive_info(px, vol, ax, syncOpt);
      else await this.run_ctl(px, ["archive-info", "add", vol, ...this.#archiveInfo(ax, syncOpt)]);
    };
    await this.whileStopped(px, vol, "empty", add, doStart ? "always" : "never");
  }

  /** With `stopEmpty` what waits for the archive is sent first; else it is thrown away. */
  async del_archive_from_proxy(px: AnyServer, vol: string, ax: AnyServer, stopEmpty = false): Promise<void> {
    if (!(await this.#has(px, vol, ax))) return;
    await this.whileStopped(px, vol, stopEmpty ? "empty" : "graceful", () =>
      this.at(px).changeForwarding("delete", vol, this.nameOf(ax)),
    );
  }

  /** Lets another proxy forward to the same archives. */
  async copy_archive_info(pSrc: AnyServer, vol: string, pDst: AnyServer): Promise<void> {
    for (const name of await this.get_archive_info_list(pSrc, vol)) {
      const forwarding = await this.at(pSrc).forwarding(vol, name);
      const has =
        (await this.get_state(pDst, vol)) !== "Clear" &&
        (await this.get_archive_info_list(pDst, vol)).includes(name);
      await this.whileStopped(
        pDst,
        vol,
        "empty",
        () => this.at(pDst).changeForwarding(has ? "update" : "add", vol, name, forwarding),
        "always",
      );
    }
  }

  async stop_synchronizing(ax: AnyServer, vol: string): Promise<void> {
    for (const px of this.layout.proxyL) await this.del_archive_from_proxy(px, vol, ax);
    await this.kick_storage_all();
  }

  async start_synchronizing(ax: AnyServer, vol: string, syncOpt = new SyncOpt()): Promise<void> {
    for (const px of this.layout.proxyL) await this.add_archive_to_proxy(px, vol, ax, true, syncOpt);
    await this.kick_storage_all();
  }

  protected async isStandbyOrClear(sx: AnyServer, vol: string): Promise<boolean> {
    return standbyOrClear.includes(await this.get_state(sx, vol));
  }
}
