/**
 * The sending ends of all links of a worker, by the numbers that workers have in the present epoch.
 *
 * Invariant: a link is of one epoch: `begin` closes those of the one before, with whatever they still had to send.
 */
import type { RecordWriter } from "../runtime/record-writer.ts";
import { OutgoingLink, type OutgoingOptions } from "./outgoing.ts";

export interface Peer {
  name: string;
  host: string;
  port: number;
}

export class OutgoingLinks {
  readonly #common: Omit<OutgoingOptions, "to" | "host" | "port" | "epoch">;
  #peers: readonly Peer[] = [];
  #links: (OutgoingLink | undefined)[] = [];

  constructor(common: Omit<OutgoingOptions, "to" | "host" | "port" | "epoch">) {
    this.#common = common;
  }

  /** Links up with everybody but oneself. */
  begin(epoch: number, peers: readonly Peer[], self: number): void {
    this.close();
    this.#peers = peers;
    this.#links = peers.map(({ name, host, port }, peer) =>
      peer === self ? undefined : new OutgoingLink({ ...this.#common, to: name, host, port, epoch }),
    );
  }

  /** Numbers of those that there is a link to. */
  get peers(): number[] {
    return [...this.#links.keys()].filter((peer) => this.#links[peer] !== undefined);
  }

  get isCongested(): boolean {
    return this.#links.some((link) => link?.isCongested === true);
  }

  get stats() {
    return this.#links.flatMap((link, peer) => {
      if (link === undefined) return [];
      const { isConnected, waitingBytes } = link;
      return [{ to: this.#peers[peer]?.name ?? "", isConnected, waitingBytes }];
    });
  }

  record(
    owner: number,
    exchange: number,
    key: string,
    timeMs: number,
    write: (out: RecordWriter) => void,
  ): void {
    this.#links[owner]?.record(exchange, key, timeMs, write);
  }

  keyState(owner: number, step: number, key: string, image: Uint8Array): void {
    this.#links[owner]?.keyState(step, key, image);
  }

  /** Says the same to everybody. */
  each(say: (link: OutgoingLink) => void): void {
    for (const link of this.#links) if (link !== undefined) say(link);
  }

  flush(): void {
    for (const link of this.#links) link?.flush();
  }

  /** Closes the links to workers that are not among `names` any more; returns their numbers. */
  partFromOthers(names: readonly string[]): number[] {
    const others = this.peers.filter((peer) => !names.includes(this.#peers[peer]?.name ?? ""));
    for (const peer of others) {
      this.#links[peer]?.close();
      this.#links[peer] = undefined;
    }
    return others;
  }

  close(): void {
    for (const link of this.#links) link?.close();
    this.#links = [];
  }
}
