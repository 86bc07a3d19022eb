/**
 * Moves a system of dht nodes to another division of the hash space while it serves.
 *
 *   1  shrink   each node gives up what it shall not own, and says so durably. Nothing moves yet.
 *   2  grow     each node takes what it shall own. Between the two steps some keys have no owner for some milliseconds:
 *               their writes are refused and repeated by the client (client.ts).
 *   3  move     each node sends what is not its own to the new owners and removes what they acknowledged.
 *   4  settle   nothing is on its way any more: the nodes forget what could have arrived.
 *
 * Invariant: at no time do two nodes own a key. From step 2 to 4 a node knows which keys may still arrive: a value that was
 * written to it is not replaced by an older one that arrives, and what was removed does not come back. All of it is in
 * the nodes, durably: whoever runs this may die, and running it again takes it up. Every step is a Redistribute request
 * of the legacy protocol, so the originals take part, without that knowledge.
 */
import type { Clock } from "../../core/seams/clock.ts";
import { sleep } from "../../core/seams/clock.ts";
import { NxError } from "../../core/errors.ts";
import type { Net } from "../../core/seams/net.ts";
import { LegacyNode, type RangedNode, StatusError } from "../wire/legacy/client.ts";
import { PROTOCOL_VERSION, type Range, Status } from "../wire/legacy/protocol.ts";
import { isEmpty, isSameRange, overlapOf, type PlannedNode } from "./plan.ts";

/** The steps above. */
export type Phase = "shrink" | "grow" | "move" | "settle";

export interface RedistributeOptions {
  net: Net;
  clock: Clock;
  nodes: readonly PlannedNode[];
  onPhase(phase: Phase): void;
  /** Records of each node, now and then while they move. */
  onProgress?(records: { node: string; records: number }[]): void;
}

export interface NodeState extends PlannedNode {
  range: Range;
  records: number;
}

const POLL_MS = 50;
const PROGRESS_MS = 1000;

const nameOf = ({ host, port }: PlannedNode) => `${host}:${port}`;

async function connect(net: Net, node: PlannedNode): Promise<LegacyNode> {
  const connection = await LegacyNode.connect(net, node);
  const version = await connection.getVersion();
  if (version === PROTOCOL_VERSION) return connection;
  connection.close();
  throw new NxError("NX_CONNECT_FAILED", `${nameOf(node)} speaks version ${version}`);
}

/** What the nodes have now. Throws NX_CONNECT_FAILED when one cannot be reached. */
export async function readNodes(net: Net, nodes: readonly PlannedNode[]): Promise<NodeState[]> {
  return Promise.all(
    nodes.map(async (node) => {
      const connection = await connect(net, node);
      try {
        const range = await connection.getResponsibleRange();
        return { ...node, range, records: (await connection.getSize()).records };
      } finally {
        connection.close();
      }
    }),
  );
}

class Run {
  readonly #options: RedistributeOptions;
  readonly #connections = new Map<PlannedNode, LegacyNode>();

  constructor(options: RedistributeOptions) {
    this.#options = options;
  }

  async all(): Promise<void> {
    const { nodes, onPhase } = this.#options;
    onPhase("shrink");
    for (const node of nodes) {
      const range = await (await this.#node(node)).getResponsibleRange();
      await this.#setRange(node, range, overlapOf(range, node.target));
    }
    onPhase("grow");
    for (const node of nodes) {
      const range = await (await this.#node(node)).getResponsibleRange();
      await this.#setRange(node, range, node.target);
    }
    onPhase("move");
    for (const node of nodes) await this.#redistribute(node, node.target, this.#othersOf(node));
    // The next request is taken when the one before is done: nothing is left to move then.
    for (const node of nodes) await this.#redistribute(node, node.target, this.#othersOf(node));
    onPhase("settle");
    for (const node of nodes) await this.#redistribute(node, node.target, []);
  }

  #othersOf(node: PlannedNode): RangedNode[] {
    const others = this.#options.nodes.filter((other) => other !== node && !isEmpty(other.target));
    return others.map(({ host, port, target }) => ({ host, port, range: target }));
  }

  async #node(node: PlannedNode): Promise<LegacyNode> {
    const known = this.#connections.get(node);
    if (known?.isClosed === false) return known;
    const connection = await connect(this.#options.net, node);
    this.#connections.set(node, connection);
    return connection;
  }

  /** Gives a node another range; resolves when it has said so durably. */
  async #setRange(node: PlannedNode, from: Range, to: Range): Promise<void> {
    if (isSameRange(from, to)) return;
    await this.#redistribute(node, to, []);
    // One more is taken only after the first is over. It must not be the same, which would mean "all has arrived":
    // a node of port 0 that owns nothing gets nothing.
    await this.#redistribute(node, to, [
      { host: "0.0.0.0", port: 0, range: { min: (1n << 64n) - 1n, max: 0n } },
    ]);
    const range = await (await this.#node(node)).getResponsibleRange();
    if (!isSameRange(range, to))
      throw new NxError("NX_CONNECT_FAILED", `${nameOf(node)} could not keep its new range`, {
        hint: "its log says why; nothing is lost, run this again when it can",
      });
  }

  /** Waits while the node is busy with the request before. */
  async #redistribute(node: PlannedNode, own: Range, others: RangedNode[]): Promise<void> {
    const { clock } = this.#options;
    for (let nextProgressMs = clock.monotonicMs() + PROGRESS_MS; ;) {
      try {
        await (await this.#node(node)).redistribute(own, others);
        return;
      } catch (error) {
        if (!(error instanceof StatusError) || error.status !== Status.Error) throw error;
      }
      await sleep(clock, POLL_MS);
      if (clock.monotonicMs() < nextProgressMs) continue;
      nextProgressMs += PROGRESS_MS;
      await this.#tellProgress();
    }
  }

  async #tellProgress(): Promise<void> {
    const { nodes, onProgress } = this.#options;
    if (onProgress === undefined) return;
    const records = nodes.map(async (node) => {
      const size = await (await this.#node(node)).getSize();
      return { node: nameOf(node), records: size.records };
    });
    onProgress(await Promise.all(records));
  }

  close(): void {
    for (const connection of this.#connections.values()) connection.close();
  }
}

/** Resolves when every node owns its target and has its records. Throws NX_CONNECT_FAILED when a node is lost; run it again. */
export async function redistributeSystem(options: RedistributeOptions): Promise<void> {
  const run = new Run(options);
  try {
    await run.all();
  } finally {
    run.close();
  }
}
