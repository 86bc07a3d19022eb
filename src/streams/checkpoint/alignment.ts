/**
 * Where the barrier of a checkpoint is, on one worker: a marker that every worker sends down every exchange, behind the
 * last record that belongs to the checkpoint.
 *
 * An exchange whose records come out of another one can only be marked when that one is complete: all workers' markers
 * have come through it, so no record of the checkpoint can follow.
 *
 * Invariant: `isDone` means that every record before the barrier was processed here, and none behind it, provided that
 * sources rest from `begin` to `isDone` and records of channels that `isBehind` are held until then.
 */
import type { Node } from "../plan/nodes.ts";
import type { Plan } from "../plan/plan.ts";

/** By exchange: the exchanges that its records come out of. */
export function upstreamOf(plan: Plan): number[][] {
  const walk = (node: Node, found: Set<number>): Set<number> => {
    if (node.kind === "exchange") found.add(plan.exchanges.indexOf(node));
    else for (const input of node.inputs) walk(input, found);
    return found;
  };
  return plan.exchanges.map((exchange) => [...walk(exchange.inputs[0] as Node, new Set())]);
}

export class Alignment {
  readonly checkpoint: number;
  readonly #plan: Plan;
  readonly #upstream: readonly number[][];
  readonly #peers: readonly number[];
  /** By exchange: the workers whose marker came. */
  readonly #arrived: Set<number>[];
  readonly #sent: boolean[];
  #hasBegun = false;

  constructor(checkpoint: number, plan: Plan, upstream: readonly number[][], peers: readonly number[]) {
    this.checkpoint = checkpoint;
    this.#plan = plan;
    this.#upstream = upstream;
    this.#peers = peers;
    this.#arrived = plan.exchanges.map(() => new Set());
    this.#sent = plan.exchanges.map(() => false);
  }

  /** Local sources rest from here on. Returns the exchanges to mark now. */
  begin(): number[] {
    this.#hasBegun = true;
    return this.#due();
  }

  /** A worker's marker came through an exchange. Returns the exchanges to mark now. */
  arrive(exchange: number, peer: number): number[] {
    this.#arrived[exchange]?.add(peer);
    return this.#due();
  }

  /** Whether records of this channel belong to the time after the checkpoint. */
  isBehind(exchange: number, peer: number): boolean {
    return this.#arrived[exchange]?.has(peer) === true;
  }

  get isDone(): boolean {
    return this.#hasBegun && this.#plan.exchanges.every((_, exchange) => this.#isComplete(exchange));
  }

  #due(): number[] {
    const due: number[] = [];
    if (!this.#hasBegun) return due;
    for (const exchange of this.#plan.exchanges.keys()) {
      if (this.#sent[exchange] === true) continue;
      if (!(this.#upstream[exchange] as number[]).every((before) => this.#isComplete(before))) continue;
      this.#sent[exchange] = true;
      due.push(exchange);
    }
    return due;
  }

  #isComplete(exchange: number): boolean {
    if (this.#sent[exchange] !== true) return false;
    if (this.#plan.exchanges[exchange]?.isLocal === true) return true;
    return this.#peers.every((peer) => this.#arrived[exchange]?.has(peer) === true);
  }
}
