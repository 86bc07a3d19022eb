/**
 * Watermarks: for each step, the event time before which it does not expect records any more.
 *
 * Inputs that have no event time of their own have the time of arrival. An input that was silent for its idle time, or
 * that this worker does not have, holds nobody up: its worker says so to the others. What it said last counts until it says
 * something else, and before it has said anything its records may be of any time.
 *
 * Invariant: what `of` answers for a node only follows from what was told before; over a link only marks travel
 * (`local` out, `hear` in), and they are sent behind the records they speak of.
 */
import type { EventTimeNode, ExchangeNode, Node } from "../plan/nodes.ts";
import type { Plan } from "../plan/plan.ts";

const NEVER = Number.NEGATIVE_INFINITY;
/** Of an input that holds nobody up. */
const UNBOUND = Number.POSITIVE_INFINITY;

/** The newest event time that a step saw. */
export class EventClock {
  readonly #latenessMs: number;
  readonly #idleMs: number;
  #newestMs = NEVER;
  #isActive = true;
  #activeAtMs = 0;

  constructor(node: EventTimeNode) {
    this.#latenessMs = node.options.latenessMs;
    this.#idleMs = node.options.idleMs;
  }

  see(timeMs: number): void {
    this.#isActive = true;
    if (timeMs > this.#newestMs) this.#newestMs = timeMs;
  }

  markMs(nowMs: number): number {
    if (this.#isActive) this.#activeAtMs = nowMs;
    this.#isActive = false;
    if (nowMs - this.#activeAtMs > this.#idleMs) return UNBOUND;
    return this.#newestMs - this.#latenessMs;
  }

  /** The records since a checkpoint come again. */
  reset(): void {
    this.#newestMs = NEVER;
    this.#isActive = true;
  }
}

export class Watermarks {
  readonly #plan: Plan;
  readonly #clocks = new Map<number, EventClock>();
  readonly #marks: number[];
  /** By exchange, then by worker: its mark. */
  readonly #channels: Map<number, number>[];
  /** Numbers of the source nodes that are open here. */
  #open: ReadonlySet<number> = new Set();

  constructor(plan: Plan) {
    this.#plan = plan;
    this.#marks = plan.nodes.map(() => NEVER);
    this.#channels = plan.exchanges.map(() => new Map());
  }

  eventClock(node: EventTimeNode): EventClock {
    const clock = new EventClock(node);
    this.#clocks.set(node.id, clock);
    return clock;
  }

  setOpenSources(ids: ReadonlySet<number>): void {
    this.#open = ids;
  }

  /** A mark of another worker's input to an exchange. */
  hear(exchange: number, worker: number, markMs: number): void {
    this.#channels[exchange]?.set(worker, markMs);
  }

  /** These workers are linked up with, and have said nothing yet. */
  expect(workers: readonly number[]): void {
    for (const [exchange, channels] of this.#channels.entries()) {
      if (this.#plan.exchanges[exchange]?.isLocal === true) continue;
      for (const worker of workers) channels.set(worker, NEVER);
    }
  }

  /** This worker has left: nothing of it comes any more. */
  forget(worker: number): void {
    for (const channels of this.#channels) channels.delete(worker);
  }

  /** The cluster went back to a checkpoint. */
  reset(): void {
    for (const channels of this.#channels) channels.clear();
    for (const clock of this.#clocks.values()) clock.reset();
    this.#marks.fill(NEVER);
  }

  of(node: Node): number {
    return this.#marks[node.id] as number;
  }

  /** What this worker's own input to an exchange has reached: for the other workers. */
  local(exchange: ExchangeNode): number {
    return this.of(exchange.inputs[0] as Node);
  }

  update(nowMs: number): void {
    for (const node of this.#plan.nodes) this.#marks[node.id] = this.#compute(node, nowMs);
  }

  #compute(node: Node, nowMs: number): number {
    switch (node.kind) {
      case "source":
      case "generator":
        return this.#open.has(node.id) ? nowMs : UNBOUND;
      case "eventTime":
        return this.of(node.inputs[0] as Node) === UNBOUND
          ? UNBOUND
          : (this.#clocks.get(node.id) as EventClock).markMs(nowMs);
      case "exchange":
        return this.#bounded(node, Math.min(this.local(node), ...this.#heard(node)));
      default:
        return this.#bounded(node, Math.min(...node.inputs.map((input) => this.of(input))));
    }
  }

  /** Where no input bounds it, a node stays where it was: time does not run away from inputs that fell silent. */
  #bounded(node: Node, markMs: number): number {
    const before = this.of(node);
    if (node.kind === "window" || node.kind === "state")
      return markMs === UNBOUND ? before : Math.max(before, markMs);
    return markMs;
  }

  #heard(node: ExchangeNode): Iterable<number> {
    return (this.#channels[this.#plan.exchanges.indexOf(node)] as Map<number, number>).values();
  }
}
