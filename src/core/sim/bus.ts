/**
 * A message network for state machines: it loses, repeats, delays, reorders, clogs and partitions.
 *
 * Invariant: a message that is delivered is one that was sent, unchanged (each copy is a clone, so nodes
 * share no memory), to a node that was attached when it arrived. Nothing else is promised: at most once, at
 * least once and order are the business of the protocols that run on it. After `heal` and with the fault
 * rates at zero everything arrives, which is what a test of liveness needs.
 */
import type { Random } from "../seams/random.ts";
import { FaultCounts } from "./faults.ts";
import type { Scheduler } from "./scheduler.ts";

export type Address = string;

export interface BusOptions {
  delayMinMs?: number;
  /** Mean of the exponential part of the delay; messages overtake each other by it. */
  delayMeanMs?: number;
  /** Probability that a message is lost. */
  loss?: number;
  /** Probability that a message arrives twice (each copy may be repeated again). */
  duplication?: number;
  /** Messages in flight on one link; one more displaces a random one. */
  linkCapacity?: number;
  /** Probability that a message clogs its link for a while. */
  clog?: number;
  clogMeanMs?: number;
}

export interface PartitionOptions {
  /**
   * `size`: a random size, then members at random; `coin`: each node picks its side; `single`: one node
   * alone.
   */
  mode: "size" | "coin" | "single";
  /** Asymmetric: one side still hears the other. */
  isSymmetric: boolean;
}

interface Link {
  isCut: boolean;
  cloggedUntilMs: number;
  inFlight: { cancel(): void }[];
}

const defaults: Required<BusOptions> = {
  delayMinMs: 0.1,
  delayMeanMs: 1,
  loss: 0,
  duplication: 0,
  linkCapacity: 1000,
  clog: 0,
  clogMeanMs: 50,
};

export class Bus<Message> {
  readonly faults = new FaultCounts();
  #scheduler: Scheduler;
  #random: Random;
  #options: Required<BusOptions>;
  #receivers = new Map<Address, (from: Address, message: Message) => void>();
  #links = new Map<string, Link>();

  constructor(scheduler: Scheduler, options: BusOptions = {}) {
    this.#scheduler = scheduler;
    this.#random = scheduler.fork();
    this.#options = { ...defaults, ...options };
  }

  /** Changes rates from now on; what is in flight stays as it is. */
  configure(options: BusOptions): void {
    this.#options = { ...this.#options, ...options };
  }

  /** Connects a node; it replaces one of the same address, as a restarted process does. */
  attach(address: Address, receive: (from: Address, message: Message) => void): void {
    this.#receivers.set(address, receive);
  }

  /** The node died: what is on its way to it is lost. */
  detach(address: Address): void {
    this.#receivers.delete(address);
  }

  send(from: Address, to: Address, message: Message): void {
    const options = this.#options;
    if (this.#chance(options.loss)) {
      this.faults.count("message lost");
      return;
    }
    const link = this.#link(from, to);
    if (this.#chance(options.clog)) {
      link.cloggedUntilMs = this.#scheduler.timeMs + this.#exponential(options.clogMeanMs);
      this.faults.count("link clogged");
    }
    this.#transmit(link, from, to, structuredClone(message));
    while (this.#chance(options.duplication)) {
      this.faults.count("message repeated");
      this.#transmit(link, from, to, structuredClone(message));
    }
  }

  /** Cuts one direction of a link: messages that would arrive meanwhile are lost. */
  cut(from: Address, to: Address): void {
    this.#link(from, to).isCut = true;
  }

  /** Cuts the nodes into two sides at random; returns one side. */
  partition(options: PartitionOptions): Address[] {
    const nodes = [...this.#receivers.keys()];
    const side = this.#pickSide(nodes, options.mode);
    for (const inside of side) {
      for (const outside of nodes.filter((node) => !side.includes(node))) {
        this.cut(inside, outside);
        if (options.isSymmetric) this.cut(outside, inside);
      }
    }
    this.faults.count(options.isSymmetric ? "partition" : "one-way partition");
    return side;
  }

  /** Ends all cuts and clogs. */
  heal(): void {
    for (const link of this.#links.values()) {
      link.isCut = false;
      link.cloggedUntilMs = 0;
    }
  }

  #transmit(link: Link, from: Address, to: Address, message: Message): void {
    if (link.inFlight.length >= this.#options.linkCapacity) {
      const [displaced] = link.inFlight.splice(this.#random.integer(link.inFlight.length), 1);
      displaced?.cancel();
      this.faults.count("message displaced");
    }
    const clogMs = Math.max(0, link.cloggedUntilMs - this.#scheduler.timeMs);
    const delayMs = clogMs + this.#options.delayMinMs + this.#exponential(this.#options.delayMeanMs);
    const flight = this.#scheduler.after(delayMs, () => {
      if (link.inFlight[0] !== flight) this.faults.count("message overtook another");
      link.inFlight.splice(link.inFlight.indexOf(flight), 1);
      this.#deliver(link, from, to, message);
    });
    link.inFlight.push(flight);
  }

  #deliver(link: Link, from: Address, to: Address, message: Message): void {
    if (link.isCut) {
      this.faults.count("message cut off");
      return;
    }
    const receive = this.#receivers.get(to);
    if (receive === undefined) this.faults.count("message to a dead node");
    else receive(from, message);
  }

  #link(from: Address, to: Address): Link {
    const key = `${from}>${to}`;
    let link = this.#links.get(key);
    if (link === undefined) {
      link = { isCut: false, cloggedUntilMs: 0, inFlight: [] };
      this.#links.set(key, link);
    }
    return link;
  }

  #pickSide(nodes: Address[], mode: PartitionOptions["mode"]): Address[] {
    if (mode === "coin") return nodes.filter(() => this.#random.integer(2) === 0);
    const size = mode === "single" ? 1 : 1 + this.#random.integer(Math.max(1, nodes.length - 1));
    const rest = [...nodes];
    return Array.from(
      { length: size },
      () => rest.splice(this.#random.integer(rest.length), 1)[0] as Address,
    );
  }

  #chance(probability: number): boolean {
    return probability > 0 && this.#random.float() < probability;
  }

  #exponential(meanMs: number): number {
    return -Math.log(1 - this.#random.float()) * meanMs;
  }
}
