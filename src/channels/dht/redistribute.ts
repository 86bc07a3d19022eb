/**
 * Moves records to the nodes that a Redistribute request names.
 *
 * First the new range is stored, then each channel is gone through for each node: a batch is sent with PutBatch, and
 * the records that the other node acknowledged are removed here unless they changed meanwhile. What fails is tried again
 * every two seconds until nothing is left to do. Invariant: a record is removed here only after another node has
 * acknowledged its value. A crash in between leaves records on both nodes; the request must then be sent again.
 */
import type { Clock } from "../../core/seams/clock.ts";
import type { Log } from "../../core/logging/log.ts";
import type { Net } from "../../core/seams/net.ts";
import { type HashRange, type LegacyEngine, MigrateStep } from "../../native/legacy.ts";
import { LegacyNode, type NodeAddress, type RangedNode } from "../wire/legacy/client.ts";
import type { OwnedRange } from "./hash-range.ts";
import type { DurableStore } from "./durable-store.ts";

const RETRY_MS = 2000;

export interface RedistributionOptions {
  net: Net;
  /** How other nodes are called. */
  toNodes: Pick<NodeAddress, "tls">;
  clock: Clock;
  log: Log;
  engine: LegacyEngine;
  durable: DurableStore;
  /** Resolves when what the node owns now would survive power loss. */
  save(): Promise<void>;
  /** It could not be saved: what the node owned before holds again. */
  revert(previous: OwnedRange): void;
}

/** The request behind its code, which the engine has checked: u64 min, u64 max, {address, u16 port, u64 min, u64 max}… */
export function readRedistribution(request: Buffer): { range: HashRange; nodes: RangedNode[] } {
  const range = { min: request.readBigUInt64LE(0), max: request.readBigUInt64LE(8) };
  const nodes: RangedNode[] = [];
  for (let at = 16; ;) {
    const length = Number(request.readBigUInt64LE(at));
    if (length === 0) return { range, nodes };
    const end = at + 8 + length;
    nodes.push({
      host: request.subarray(at + 8, end).toString("latin1"),
      port: request.readUInt16LE(end),
      range: { min: request.readBigUInt64LE(end + 2), max: request.readBigUInt64LE(end + 10) },
    });
    at = end + 18;
  }
}

export class Redistribution {
  readonly #options: RedistributionOptions;
  readonly #connections = new Map<RangedNode, LegacyNode>();
  #isStopped = false;
  #wake: () => void = () => {};
  #movedRecords = 0;
  /** Of the redistribution under way. */
  running: Promise<void> | undefined;

  constructor(options: RedistributionOptions) {
    this.#options = options;
  }

  /** Starts the work; at most one at a time, which the engine sees to. */
  start(request: Buffer, previous: OwnedRange): void {
    const { engine, log } = this.#options;
    this.running = this.#run(request, previous)
      .catch((error: Error) => log.error(`the redistribution failed: ${error.message}`))
      .finally(() => {
        for (const node of this.#connections.values()) node.close();
        this.#connections.clear();
        if (!this.#isStopped) engine.redistributed();
        this.running = undefined;
      });
  }

  /** Waits, but not beyond `stop`. */
  #pause(delayMs: number): Promise<void> {
    return new Promise((resolve) => {
      const timer = this.#options.clock.after(delayMs, resolve);
      this.#wake = () => {
        timer.cancel();
        resolve();
      };
    });
  }

  /** Ends what is under way; resolves when nothing runs any more. */
  async stop(): Promise<void> {
    this.#isStopped = true;
    this.#wake();
    for (const node of this.#connections.values()) node.close();
    await this.running;
  }

  async #run(request: Buffer, previous: OwnedRange): Promise<void> {
    const { log, clock } = this.#options;
    const { nodes } = readRedistribution(request);
    try {
      await this.#options.save();
    } catch (error) {
      // After a restart the node would own what it has given away: better not to begin.
      this.#options.revert(previous);
      throw error;
    }
    this.#movedRecords = 0;
    const startMs = clock.monotonicMs();
    log.info("redistribution started", { nodes: nodes.length });
    let channels = this.#options.durable.store.channelNames();
    while (channels.length > 0 && !this.#isStopped) {
      const unfinished: string[] = [];
      for (const channel of channels)
        if (!(await this.#moveChannel(channel, nodes))) unfinished.push(channel);
      channels = unfinished;
      if (channels.length > 0 && !this.#isStopped) await this.#pause(RETRY_MS);
    }
    const seconds = ((clock.monotonicMs() - startMs) / 1000).toFixed(3);
    log.info("redistribution ended", { records: this.#movedRecords, seconds });
  }

  /** True when every record of the channel is where it belongs. */
  async #moveChannel(channel: string, nodes: readonly RangedNode[]): Promise<boolean> {
    let isClean = true;
    for (const node of nodes) {
      if (this.#isStopped) return false;
      try {
        await this.#moveRange(channel, node);
      } catch (error) {
        isClean = false;
        this.#connections.get(node)?.close();
        this.#connections.delete(node);
        if (!this.#isStopped)
          this.#options.log.warn(`moving records failed and is tried again: ${(error as Error).message}`, {
            channel,
            node: `${node.host}:${node.port}`,
          });
      }
    }
    return isClean;
  }

  async #moveRange(channel: string, node: RangedNode): Promise<void> {
    const { engine, clock, durable } = this.#options;
    engine.migrateBegin();
    for (;;) {
      if (this.#isStopped || durable.isStalled) throw new Error("records cannot be removed here now");
      const step = engine.migrate(channel, node.range, clock.nowMs());
      if (step === MigrateStep.Done) return;
      if (step === MigrateStep.Batch) {
        const request = Buffer.from(engine.replies());
        await (await this.#connect(node)).sendRequest(request);
        if (this.#isStopped) return;
        this.#movedRecords += engine.migrated(channel, clock.nowMs());
        durable.commit();
      }
      await new Promise<void>((resolve) => clock.endOfTurn(resolve));
      while (durable.isCongested && !this.#isStopped) await this.#pause(10);
    }
  }

  async #connect(node: RangedNode): Promise<LegacyNode> {
    const known = this.#connections.get(node);
    if (known !== undefined) return known;
    const connection = await LegacyNode.connect(this.#options.net, { ...node, ...this.#options.toNodes });
    this.#connections.set(node, connection);
    return connection;
  }
}
