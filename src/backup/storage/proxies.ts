/**
 * The proxies of a storage, in the order of preference: which of them answer.
 *
 * Invariant: all are taken for available until they failed; one that failed is asked again at each heartbeat.
 */
import type { Clock, Timer } from "../../core/seams/clock.ts";
import type { Net } from "../../core/seams/net.ts";
import { Controller } from "../client/controller.ts";
import type { AddressPort } from "../wire/values.ts";

const ANSWER_TIMEOUT_MS = 3000;

export interface ProxyPeer {
  address: AddressPort;
  isAvailable: boolean;
  checkedMs: number;
}

export class Proxies {
  readonly peers: ProxyPeer[];
  readonly #world: { net: Net; clock: Clock; nodeId: string };
  #timer: Timer | undefined;
  #heartbeatMs: number;

  constructor(
    world: { net: Net; clock: Clock; nodeId: string },
    addresses: readonly AddressPort[],
    heartbeatMs: number,
  ) {
    this.#world = world;
    this.#heartbeatMs = heartbeatMs;
    const checkedMs = world.clock.monotonicMs();
    this.peers = addresses.map((address) => ({ address, isAvailable: true, checkedMs }));
  }

  start(): void {
    this.#timer = this.#world.clock.every(this.#heartbeatMs, () => void this.check());
  }

  stop(): void {
    this.#timer?.cancel();
  }

  /** Asks each whether it is there. */
  async check(): Promise<void> {
    await Promise.all(this.peers.map((peer) => this.#ask(peer)));
  }

  async #ask(peer: ProxyPeer): Promise<void> {
    const { net, clock, nodeId } = this.#world;
    const controller = new Controller({
      net,
      clock,
      ...peer.address,
      clientId: nodeId,
      timeoutMs: ANSWER_TIMEOUT_MS,
    });
    const answer = await controller.get("host-type").catch(() => undefined);
    peer.isAvailable = answer === "proxy";
    peer.checkedMs = clock.monotonicMs();
  }

  /** Those to try, the preferred one first. Where none is available all are: one may be back. */
  inOrder(): ProxyPeer[] {
    const available = this.peers.filter(({ isAvailable }) => isAvailable);
    return available.length > 0 ? available : this.peers;
  }

  secondsToCheck(): number {
    const { clock } = this.#world;
    const last = Math.max(...this.peers.map(({ checkedMs }) => checkedMs));
    return Math.max(0, Math.floor((this.#heartbeatMs - (clock.monotonicMs() - last)) / 1000));
  }
}
