/**
 * When the log of a volume is shipped, and to whom: some time after a write, at once when someone asked for it, later and
 * later when it fails.
 *
 * Invariant: at most one transfer of a volume runs. A volume whose log has overflowed ships no more: it stops, and says so.
 */
import type { Clock, Timer } from "../../core/seams/clock.ts";
import type { Log } from "../../core/logging/log.ts";
import type { Net } from "../../core/seams/net.ts";
import { NxError } from "../../core/errors.ts";
import { openProtocol } from "../server/server.ts";
import type { Conversation } from "../wire/conversation.ts";
import type { RateLimit } from "../wire/rate-limit.ts";
import type { Proxies, ProxyPeer } from "./proxies.ts";
import { endOfTransfer, type Framer, type Shipment, shipLog } from "./ship.ts";
import type { StorageVolume } from "./volume.ts";

export interface ShipperOptions {
  net: Net;
  clock: Clock;
  log: Log;
  nodeId: string;
  timeoutMs: number;
  shipDelayMs: number;
  snapshotIntervalMs: number;
  retryMinMs: number;
  retryMaxMs: number;
  proxies: Proxies;
  framer: Framer;
  /** What all proxies together are sent. */
  limit: RateLimit;
  /** Runs a transfer when there is room for one more. */
  inTurn<Result>(work: () => Promise<Result>): Promise<Result>;
  onOverflow(volume: StorageVolume): Promise<void>;
}

export class Shipper {
  readonly #options: ShipperOptions;
  readonly #volume: StorageVolume;
  #timer: Timer | undefined;
  #dueMs = Number.POSITIVE_INFINITY;
  #running: Promise<void> | undefined;
  isStopped = false;
  #isAgain = false;
  #delayMs: number;
  #conversation: Conversation | undefined;
  /** Why the last try failed. */
  lastError: string | undefined;
  shippedBytes = 0;
  shippedLogs = 0;

  constructor(options: ShipperOptions, volume: StorageVolume) {
    this.#options = options;
    this.#volume = volume;
    this.#delayMs = options.retryMinMs;
    this.#schedule(0);
  }

  /** The log was made longer. */
  onLog(): void {
    if (this.#running !== undefined || this.#timer !== undefined) return;
    const { attached, done } = this.#volume;
    if (attached.log.written > done.lsid) this.#schedule(this.#options.shipDelayMs);
  }

  /** Now, whatever failed before. */
  kick(): void {
    this.#delayMs = this.#options.retryMinMs;
    if (this.#running === undefined) this.#schedule(0);
    else this.#isAgain = true;
  }

  #schedule(delayMs: number): void {
    const { clock } = this.#options;
    const dueMs = clock.monotonicMs() + delayMs;
    if (this.isStopped || (this.#timer !== undefined && this.#dueMs <= dueMs)) return;
    this.#timer?.cancel();
    this.#dueMs = dueMs;
    this.#timer = clock.after(delayMs, () => {
      this.#timer = undefined;
      this.#running = this.#options
        .inTurn(() => this.#run())
        .then((nextMs) => {
          this.#running = undefined;
          const isAgain = this.#isAgain;
          this.#isAgain = false;
          if (isAgain || nextMs !== undefined) this.#schedule(isAgain ? 0 : (nextMs as number));
          else this.onLog();
        });
    });
  }

  /** Ships what there is; when to try again, if at all. */
  async #run(): Promise<number | undefined> {
    const volume = this.#volume;
    const { log, retryMaxMs, snapshotIntervalMs, onOverflow } = this.#options;
    try {
      if (this.isStopped || volume.engine === undefined) return undefined;
      if (volume.isOverflow) {
        await onOverflow(volume);
        return undefined;
      }
      await volume.cutIfDue(snapshotIntervalMs);
      const shipment = await this.#next();
      if (shipment === undefined) return undefined;
      volume.isShipping = true;
      await this.#toFirst(shipment);
      this.shippedLogs += 1;
      this.shippedBytes += Number(shipment.endLsid - volume.done.lsid) * volume.attached.physicalBytes;
      const { transfer, endLsid } = shipment;
      await volume.shipped({ ...transfer, to: { ...transfer.to, lsid: endLsid } });
      this.lastError = undefined;
      this.#delayMs = this.#options.retryMinMs;
      return volume.queue.length > 0 ? 0 : undefined;
    } catch (error) {
      this.lastError = (error as Error).message;
      if (this.isStopped) return undefined;
      log.warn(`shipping failed: ${this.lastError}`, { volume: volume.name });
      const delayMs = this.#delayMs;
      this.#delayMs = Math.min(retryMaxMs, delayMs * 2);
      return delayMs;
    } finally {
      volume.isShipping = false;
    }
  }

  async #next(): Promise<Shipment | undefined> {
    const volume = this.#volume;
    const transfer = volume.nextTransfer();
    if (transfer === undefined) return undefined;
    const endLsid = await endOfTransfer(volume, transfer);
    if (endLsid > volume.attached.log.durable) await volume.attached.flush();
    return { transfer, endLsid };
  }

  /** Sends to the first proxy that takes it. */
  async #toFirst(shipment: Shipment): Promise<void> {
    const failures: string[] = [];
    for (const peer of this.#options.proxies.inOrder()) {
      try {
        return await this.#to(peer, shipment);
      } catch (error) {
        failures.push(`${peer.address.host}:${peer.address.port}: ${(error as Error).message}`);
        if (this.isStopped) break;
      }
    }
    throw new NxError("NX_CONNECT_FAILED", `no proxy takes the log: ${failures.join("; ")}`);
  }

  async #to(peer: ProxyPeer, shipment: Shipment): Promise<void> {
    const { net, clock, nodeId, timeoutMs, framer, limit } = this.#options;
    const ids = { clientId: nodeId, protocol: "wlog-transfer" };
    let conversation: Conversation;
    try {
      ({ conversation } = await openProtocol(net, peer.address, ids, { clock, timeoutMs, limit }));
    } catch (error) {
      peer.isAvailable = false;
      throw error;
    }
    this.#conversation = conversation;
    try {
      await shipLog(conversation, this.#volume, framer, shipment);
    } finally {
      this.#conversation = undefined;
      conversation.end();
    }
  }

  /** Resolves when nothing of it runs. `isForced` cuts a transfer that is under way. */
  async stop(isForced: boolean): Promise<void> {
    this.isStopped = true;
    this.#timer?.cancel();
    this.#timer = undefined;
    if (isForced) this.#conversation?.terminate("the volume is stopped");
    await this.#running;
  }

  /** The stop was given up. */
  goOn(): void {
    this.isStopped = false;
    this.kick();
  }
}
