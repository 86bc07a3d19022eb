/**
 * One cycle of dhtdump: connect to the node, ask for its channels, dump each.
 *
 * The node must speak the same version and name its range, but the ranges of a system need not be complete: only this
 * one node matters. Invariant: a channel that fails leaves its dump before in place and does not keep the others from
 * being dumped; the cycle then counts as failed.
 */
import type { Log } from "../../core/logging/log.ts";
import { NxError } from "../../core/errors.ts";
import type { Clock } from "../../core/seams/clock.ts";
import type { Disk } from "../../core/seams/disk.ts";
import type { Net } from "../../core/seams/net.ts";
import { LegacyNode, type NodeAddress, PROTOCOL_VERSION } from "../client.ts";
import { dumpChannel, type ChannelDump } from "./dump-channel.ts";

export interface CycleOptions {
  net: Net;
  clock: Clock;
  disk: Disk;
  log: Log;
  node: NodeAddress;
  directory: string;
  silenceMsMax: number;
  /** A channel was dumped. */
  onChannel(channel: string, dump: ChannelDump): void;
}

/** Waits for answers, but neither for ever nor beyond a stop. */
class Watch {
  readonly #clock: Clock;
  readonly #msMax: number;
  readonly #stopped = Promise.withResolvers<never>();
  node: LegacyNode | undefined;

  constructor(clock: Clock, msMax: number) {
    this.#clock = clock;
    this.#msMax = msMax;
    this.#stopped.promise.catch(() => undefined);
  }

  stop(): void {
    this.#stopped.reject(new NxError("NX_CONNECT_FAILED", "stopped"));
    this.node?.close();
  }

  /** Throws NX_TIMEOUT when the node is silent for too long; the connection is closed then. */
  async wait<Answer>(answer: Promise<Answer>): Promise<Answer> {
    const late = Promise.withResolvers<never>();
    const timer = this.#clock.after(this.#msMax, () => {
      late.reject(new NxError("NX_TIMEOUT", `the node sent nothing for ${this.#msMax / 1000} s`));
      this.node?.close();
    });
    try {
      return await Promise.race([answer, late.promise, this.#stopped.promise]);
    } finally {
      timer.cancel();
    }
  }

  /** Connects and makes sure that we understand each other. */
  async connect(net: Net, address: NodeAddress): Promise<LegacyNode> {
    const connecting = LegacyNode.connect(net, address);
    let isWanted = true;
    connecting.then(
      (late) => isWanted || late.close(),
      () => undefined,
    );
    const node = await this.wait(connecting).catch((error: unknown) => {
      isWanted = false;
      throw error;
    });
    this.node = node;
    const version = await this.wait(node.getVersion());
    if (version !== PROTOCOL_VERSION)
      throw new NxError("NX_CONNECT_FAILED", `${address.host}:${address.port} speaks version ${version}`);
    await this.wait(node.getResponsibleRange());
    return node;
  }

  async *batches(source: AsyncGenerator<Uint8Array>): AsyncGenerator<Uint8Array> {
    for (;;) {
      const next = await this.wait(source.next());
      if (next.done === true) return;
      yield next.value;
    }
  }
}

export class Cycle {
  readonly #options: CycleOptions;
  readonly #watch: Watch;
  #isStopped = false;

  constructor(options: CycleOptions) {
    this.#options = options;
    this.#watch = new Watch(options.clock, options.silenceMsMax);
  }

  /** Returns the names of the channels that the node has; throws when it could not be asked or a channel failed. */
  async run(): Promise<string[]> {
    const { log, net, node: address } = this.#options;
    try {
      const node = await this.#watch.connect(net, address);
      const channels = await this.#watch.wait(node.getChannels());
      log.info(`dumping ${channels.length} channels`, { channels: channels.join(" ") });
      const failed: string[] = [];
      for (const channel of channels) if (!(await this.#dump(channel, failed))) break;
      if (failed.length > 0 || this.#isStopped)
        throw new NxError(
          "NX_CONNECT_FAILED",
          this.#isStopped ? "stopped" : `not dumped: ${failed.join(" ")}`,
        );
      return channels;
    } finally {
      this.#watch.node?.close();
    }
  }

  /** False when going on makes no sense: the connection is gone. */
  async #dump(channel: string, failed: string[]): Promise<boolean> {
    const { clock, disk, log, directory, onChannel } = this.#options;
    const node = this.#watch.node as LegacyNode;
    const startMs = clock.monotonicMs();
    log.info(`dumping channel '${channel}'`);
    try {
      // The name becomes a file's: a node that sends another one is not to be trusted with paths.
      if (!/^[A-Za-z0-9_-]{1,240}$/.test(channel))
        throw new NxError("NX_CONNECT_FAILED", "this is no name of a channel");
      const batches = this.#watch.batches(node.getAllContents(channel));
      const dump = await dumpChannel(disk, directory, channel, batches);
      const seconds = ((clock.monotonicMs() - startMs) / 1000).toFixed(3);
      log.info(`dumped channel '${channel}'`, { records: dump.records, bytes: dump.bytes, seconds });
      onChannel(channel, dump);
      return true;
    } catch (error) {
      failed.push(channel);
      if (!this.#isStopped)
        log.error(`dumping channel '${channel}' failed, its last dump stays: ${(error as Error).message}`);
      return !node.isClosed && !this.#isStopped;
    }
  }

  /** Ends it soon: what is unfinished is removed. */
  stop(): void {
    this.#isStopped = true;
    this.#watch.stop();
  }
}
