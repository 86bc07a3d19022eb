/**
 * The questions of the controller's library, under the original's names: each is one connection to one server. `s` is any
 * server of the layout, `sx` a storage, `px` a proxy, `ax` an archive.
 */
import { NxError } from "../../../core/errors.ts";
import { type Clock, sleep } from "../../../core/seams/clock.ts";
import type { Net } from "../../../core/seams/net.ts";
import { type MetaDiff, type MetaState, type Snapshot } from "../../algebra/snapshot.ts";
import { BLOCK_BYTES } from "../../formats/units.ts";
import { Controller } from "../controller.ts";
import {
  type AnyServer,
  connectionOf,
  K_ARCHIVE,
  K_PROXY,
  kindName,
  type ServerKind,
  ServerLayout,
} from "./layout.ts";
import {
  type ActionInfo,
  type GidInfo,
  parseActions,
  parseDiff,
  parseGidInfo,
  parseMetaState,
  parseSnapshot,
} from "./texts.ts";

export interface ControllerWorld {
  net: Net;
  clock: Clock;
  /** Where listings are printed. */
  print(text: string): void;
}

const CLIENT_ID = "ctl";
const CONNECTION_TIMEOUT_MS = 10_000;
export const TIMEOUT_SEC = 86_400;
export const SHORT_TIMEOUT_SEC = 100;
const POLL_MS = 300;

/** Points are numbered with 64 bits; a plain number does for all that people type. */
export type Gid = bigint | number;

export class Asking {
  protected layout: ServerLayout;
  protected readonly world: ControllerWorld;
  readonly isDebug: boolean;
  /** Between two looks at something that is waited for. */
  pollMs = POLL_MS;

  constructor(layout: ServerLayout, isDebug: boolean, world: ControllerWorld) {
    this.layout = layout;
    this.isDebug = isDebug;
    this.world = world;
  }

  set_server_layout(sLayout: ServerLayout): void {
    this.layout = sLayout;
  }

  get_server_layout(): ServerLayout {
    return this.layout;
  }

  protected nameOf(s: AnyServer): string {
    return connectionOf(s).name;
  }

  /** A connection maker to one server. */
  protected at(s: AnyServer): Controller {
    const { address, port } = connectionOf(s);
    const { net, clock } = this.world;
    const timeoutMs = CONNECTION_TIMEOUT_MS;
    return new Controller({ net, clock, host: address, port, clientId: CLIENT_ID, timeoutMs });
  }

  protected demandKind(s: AnyServer, kind: ServerKind): void {
    const { name, kind: got } = connectionOf(s);
    if (got !== kind)
      throw new NxError("NX_USAGE", `${name} is a ${kindName(got)}: a ${kindName(kind)} is wanted`);
  }

  protected debug(text: string): void {
    if (this.isDebug) this.world.print(`debug: ${text}\n`);
  }

  /** Runs one command on a server; what it refuses is thrown with the server's name. */
  protected async command(
    s: AnyServer,
    words: readonly string[],
    answer: "ok" | "accept" = "ok",
  ): Promise<void> {
    const [name = "", ...rest] = words;
    this.debug(`${this.nameOf(s)} ${words.join(" ")}`);
    await this.at(s)
      .command(name, rest, answer)
      .catch((error: Error) => {
        throw new NxError("NX_NOT_READY", `${this.nameOf(s)}: ${name}: ${error.message}`, { cause: error });
      });
  }

  protected async text(s: AnyServer, ...words: string[]): Promise<string> {
    return String(await this.at(s).get(...(words as [string, ...string[]])));
  }

  protected async lines(s: AnyServer, ...words: string[]): Promise<string[]> {
    return (await this.at(s).get(...(words as [string, ...string[]]))) as string[];
  }

  protected async number(s: AnyServer, ...words: string[]): Promise<number> {
    return Number(await this.at(s).get(...(words as [string, ...string[]])));
  }

  /** Polls until `claim` holds; throws when it does not in time. */
  protected async waitFor(
    what: string,
    claim: () => Promise<boolean>,
    timeoutS = TIMEOUT_SEC,
  ): Promise<void> {
    const { clock } = this.world;
    const deadlineMs = clock.monotonicMs() + timeoutS * 1000;
    while (!(await claim())) {
      if (clock.monotonicMs() > deadlineMs)
        throw new NxError("NX_NOT_READY", `waited ${timeoutS} s in vain: ${what}`);
      await sleep(clock, this.pollMs);
    }
  }

  // --- any server --------------------------------------------------------------------------------------------------

  get_host_type(s: AnyServer): Promise<string> {
    return this.text(s, "host-type");
  }

  get_state(s: AnyServer, vol: string): Promise<string> {
    return this.text(s, "state", vol);
  }

  get_vol_list(s: AnyServer): Promise<string[]> {
    return this.lines(s, "vol");
  }

  get_uuid(s: AnyServer, vol: string): Promise<string> {
    return this.text(s, "uuid", vol);
  }

  /** Prints the state of a volume on every server. */
  async get_state_all(vol: string, sL: readonly AnyServer[] = this.layout.get_all()): Promise<void> {
    for (const s of sL) {
      const state = await this.get_state(s, vol).catch(() => "err");
      this.world.print(`${this.nameOf(s)} ${connectionOf(s).get_host_port()} ${state}\n`);
    }
  }

  async verify_state(s: AnyServer, vol: string, state: string): Promise<void> {
    const got = await this.get_state(s, vol);
    if (got !== state)
      throw new NxError("NX_NOT_READY", `${this.nameOf(s)}: ${vol} is in state ${got}, not ${state}`);
  }

  get_num_action(s: AnyServer, vol: string, action: string): Promise<number> {
    return this.number(s, "num-action", vol, action);
  }

  /** Prints what servers say of themselves, or of a volume. */
  async status(sL: readonly AnyServer[] = this.layout.get_all(), vol?: string): Promise<void> {
    for (const s of sL) {
      this.world.print(`++++++++++++++++++++ ${this.nameOf(s)}\n`);
      const lines = await this.at(s)
        .status(vol)
        .catch((error: Error) => [error.message]);
      this.world.print(lines.map((line) => `${line}\n`).join(""));
    }
  }

  /** Names of the servers that answer. */
  async get_alive_server(): Promise<string[]> {
    const alive: string[] = [];
    for (const s of this.layout.get_all())
      if (await this.get_host_type(s).catch(() => undefined)) alive.push(this.nameOf(s));
    return alive;
  }

  /** Runs a subcommand of walbc on a server and returns what it prints. */
  async run_ctl(s: AnyServer, args: readonly string[]): Promise<string> {
    const { runSubcommand } = await import("../../cli/controller.ts");
    const { address, port } = connectionOf(s);
    let text = "";
    const output = { write: (part: string) => void (text += part), isTty: false, columns: undefined };
    const call = { environment: {}, workingDirectory: ".", stdout: output, stderr: output };
    const where = ["-a", address, "-p", String(port), "-id", CLIENT_ID];
    await runSubcommand(args[0] as string, [...where, ...args.slice(1)], call);
    return text;
  }

  /** Runs a command on the server's host, where the server allows it. */
  async run_remote_command(s: AnyServer, args: readonly string[]): Promise<string> {
    return (await this.at(s).lines("exec", args)).join("\n");
  }

  get_run_remote_command(s: AnyServer): (args: readonly string[]) => Promise<string> {
    return (args) => this.run_remote_command(s, args);
  }

  // --- storages and proxies ----------------------------------------------------------------------------------------

  async is_overflow(sx: AnyServer, vol: string): Promise<boolean> {
    return (await this.number(sx, "is-overflow", vol)) !== 0;
  }

  async verify_not_overflow(sx: AnyServer, vol: string): Promise<void> {
    if (await this.is_overflow(sx, vol))
      throw new NxError("NX_NOT_READY", `${this.nameOf(sx)}: the log of ${vol} has overflowed`, {
        hint: "bring the volume back with hash_backup",
      });
  }

  async is_wdiff_send_error(px: AnyServer, vol: string, ax: AnyServer): Promise<boolean> {
    return (await this.number(px, "is-wdiff-send-error", vol, this.nameOf(ax))) !== 0;
  }

  get_archive_info_list(px: AnyServer, vol: string): Promise<string[]> {
    this.demandKind(px, K_PROXY);
    return this.at(px).archiveNames(vol);
  }

  async get_archive_info(px: AnyServer, vol: string, ax: AnyServer): Promise<string> {
    return (await this.run_ctl(px, ["archive-info", "get", vol, this.nameOf(ax)])).trim();
  }

  // --- archives ----------------------------------------------------------------------------------------------------

  get_vol_size_lb(ax: AnyServer, vol: string): Promise<number> {
    return this.number(ax, "vol-size", vol);
  }

  get_progress_lb(ax: AnyServer, vol: string): Promise<number> {
    return this.number(ax, "progress", vol);
  }

  async get_base(ax: AnyServer, vol: string): Promise<MetaState> {
    return parseMetaState(await this.text(ax, "base", vol));
  }

  /** Prints the share of a copy that has come, each second until it is complete. */
  async monitor_progress(ax: AnyServer, vol: string, timeoutS = SHORT_TIMEOUT_SEC): Promise<void> {
    const { clock, print } = this.world;
    const endMs = clock.monotonicMs() + timeoutS * 1000;
    while (clock.monotonicMs() < endMs) {
      const progress = await this.get_progress_lb(ax, vol);
      if (progress === 0) return;
      const blocks = await this.get_vol_size_lb(ax, vol);
      print(`${((progress / blocks) * 100).toFixed(1)} % of ${blocks * BLOCK_BYTES} bytes\n`);
      await sleep(clock, 1000);
    }
  }

  async get_diff_list(ax: AnyServer, vol: string, gid0?: Gid, gid1?: Gid): Promise<MetaDiff[]> {
    return (await this.#diffLines(ax, "diff", vol, gid0, gid1)).map(parseDiff);
  }

  async print_diff_list(ax: AnyServer, vol: string, gid0?: Gid, gid1?: Gid): Promise<void> {
    this.#printLines(await this.#diffLines(ax, "diff", vol, gid0, gid1));
  }

  async get_applicable_diff_list(ax: AnyServer, vol: string, gid?: Gid): Promise<MetaDiff[]> {
    return (await this.#diffLines(ax, "applicable-diff", vol, gid)).map(parseDiff);
  }

  async print_applicable_diff_list(ax: AnyServer, vol: string, gid?: Gid): Promise<void> {
    this.#printLines(await this.#diffLines(ax, "applicable-diff", vol, gid));
  }

  #diffLines(ax: AnyServer, target: string, vol: string, ...gids: (Gid | undefined)[]): Promise<string[]> {
    this.demandKind(ax, K_ARCHIVE);
    return this.lines(ax, target, vol, ...gids.filter((gid) => gid !== undefined).map(String));
  }

  #printLines(lines: readonly string[]): void {
    this.world.print(lines.map((line) => `${line}\n`).join(""));
  }

  get_num_diff(ax: AnyServer, vol: string, gid0?: Gid, gid1?: Gid): Promise<number> {
    return this.number(ax, "num-diff", vol, ...[gid0, gid1].filter((gid) => gid !== undefined).map(String));
  }

  get_total_diff_size(ax: AnyServer, vol: string, gid0?: Gid, gid1?: Gid): Promise<number> {
    const gids = [gid0, gid1].filter((gid) => gid !== undefined).map(String);
    return this.number(ax, "total-diff-size", vol, ...gids);
  }

  async exists_diff(ax: AnyServer, vol: string, gidB: Snapshot, gidE: Snapshot): Promise<boolean> {
    const gids = [gidB.begin, gidB.end, gidE.begin, gidE.end].map(String);
    return (await this.number(ax, "exists-diff", vol, ...gids)) !== 0;
  }

  /** By volume: the running jobs of an archive. */
  async get_all_actions(ax: AnyServer): Promise<Map<string, ActionInfo>> {
    return new Map((await this.lines(ax, "all-actions")).map(parseActions));
  }

  async get_vol_dict_without_running_actions(ax: AnyServer): Promise<Map<string, ActionInfo>> {
    const all = await this.get_all_actions(ax);
    return new Map([...all].filter(([, info]) => Object.values(info).every(({ count }) => count === 0)));
  }

  get_archive_uuid(ax: AnyServer, vol: string): Promise<string> {
    return this.text(ax, "archive-uuid", vol);
  }

  async get_restorable(ax: AnyServer, vol: string, opt: "" | "all" = ""): Promise<GidInfo[]> {
    const words = opt === "" ? [] : [opt];
    return (await this.lines(ax, "restorable", vol, ...words)).map(parseGidInfo);
  }

  async get_restorable_gid(ax: AnyServer, vol: string, opt: "" | "all" = ""): Promise<bigint[]> {
    return (await this.get_restorable(ax, vol, opt)).map(({ gid }) => gid);
  }

  async print_restorable(ax: AnyServer, vol: string, opt: "" | "all" = ""): Promise<void> {
    this.#printLines(await this.lines(ax, "restorable", vol, ...(opt === "" ? [] : [opt])));
  }

  async get_restored(ax: AnyServer, vol: string): Promise<bigint[]> {
    return (await this.lines(ax, "restored", vol)).map(BigInt);
  }

  async get_cold(ax: AnyServer, vol: string): Promise<bigint[]> {
    return (await this.lines(ax, "cold", vol)).map(BigInt);
  }

  async get_meta_snap(ax: AnyServer, vol: string, gid?: Gid): Promise<Snapshot> {
    return parseSnapshot(await this.text(ax, "meta-snap", vol, ...(gid === undefined ? [] : [String(gid)])));
  }

  async get_meta_state(ax: AnyServer, vol: string, isApplying: boolean, gid?: Gid): Promise<MetaState> {
    const words = gid === undefined ? [] : [String(gid)];
    return parseMetaState(await this.text(ax, "meta-state", vol, isApplying ? "1" : "0", ...words));
  }

  /** The newest clean point. */
  async get_latest_clean_snapshot(ax: AnyServer, vol: string): Promise<bigint> {
    const gid = (await this.get_restorable_gid(ax, vol, "all")).at(-1);
    if (gid === undefined)
      throw new NxError("NX_NOT_READY", `${this.nameOf(ax)}: ${vol} has no clean point yet`);
    return gid;
  }

  /** By volume: the newest gid. */
  async get_latest_snapshot_info(ax: AnyServer, vol?: string): Promise<Map<string, bigint>> {
    const info = new Map<string, bigint>();
    for (const line of await this.lines(ax, "latest-snap", ...(vol === undefined ? [] : [vol]))) {
      const fields = fieldsOf(line);
      info.set(fields.get("name") ?? "", BigInt(fields.get("gid") ?? 0));
    }
    return info;
  }

  /** By volume: how far an archive or a storage's primary archive lags, in seconds. */
  async get_ts_delta(ax: AnyServer): Promise<Map<string, number>> {
    const deltas = new Map<string, number>();
    for (const line of await this.lines(ax, "ts-delta")) {
      const fields = fieldsOf(line);
      deltas.set(fields.get("name") ?? "", Number(fields.get("ts_delta")));
    }
    return deltas;
  }

  /** The hash of the image at a point, 32 hex digits. */
  async get_block_hash(ax: AnyServer, vol: string, gid: Gid, bulkSizeU = "64K"): Promise<string> {
    return Buffer.from(await this.at(ax).blockHash([vol, String(gid), bulkSizeU])).toString("hex");
  }
}

/** The fields of a line in LTSV form. */
function fieldsOf(line: string): Map<string, string> {
  return new Map(
    line.split("\t").map((field): [string, string] => {
      const at = field.indexOf(":");
      return [field.slice(0, at), field.slice(at + 1)];
    }),
  );
}
