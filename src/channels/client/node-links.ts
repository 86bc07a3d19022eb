/**
 * What the clients of all kinds of nodes have in common: their options, and a link to each node.
 */
import { NxError } from "../../core/errors.ts";
import type { Clock } from "../../core/seams/clock.ts";
import type { Net, TlsToPeer } from "../../core/seams/net.ts";
import type { Random } from "../../core/seams/random.ts";
import { type NodeAddress, StatusError } from "../wire/legacy/client.ts";
import { Status } from "../wire/legacy/protocol.ts";
import type { Credential } from "../wire/neo/credentials.ts";
import { type NodeConnection, NodeLink } from "./node-link.ts";

export interface ClientSeams {
  net: Net;
  clock: Clock;
  random: Random;
}

export interface SystemOptions {
  nodes: readonly NodeAddress[];
  /** For all nodes that say nothing of their own: they are called with TLS. */
  tls?: TlsToPeer;
  /** Requests under way on one connection; more than 1 where the protocol can. */
  requestsPerConnection?: number;
  /** Connections to each node. */
  connections?: number;
  /** From a call to its answer, all repetitions included. */
  timeoutMs?: number;
  /** One attempt: a connection whose peer is silent for this long is given up, and the request repeated on another. */
  attemptTimeoutMs?: number;
  /** Bytes of requests that wait for one node. */
  queueBytesMax?: number;
  /** Pause before a lost connection is opened again: doubles up to the maximum. */
  backoffMinMs?: number;
  backoffMaxMs?: number;
}

/** The same for one kind of nodes. */
export interface ClientOptions<Connection> extends SystemOptions {
  /** Opens a connection of another protocol than the legacy one. */
  open?(address: NodeAddress): Promise<Connection>;
}

export type SystemSettings = Required<Omit<SystemOptions, "nodes" | "tls">> & Pick<SystemOptions, "tls">;

const defaults: SystemSettings = {
  requestsPerConnection: 1,
  connections: 5,
  timeoutMs: 5000,
  attemptTimeoutMs: 2000,
  queueBytesMax: 256 * 1024,
  backoffMinMs: 20,
  backoffMaxMs: 2000,
};

/**
 * A client's settings, which are `options` over `own` over the defaults of all clients (undefined counts as absent), and a
 * link to each of its nodes, in their order. Connections are opened when they are needed, by `openLegacy` unless the
 * options say how.
 */
export function openSystem<Connection extends NodeConnection, Own extends object>(
  { net, clock, random }: ClientSeams,
  {
    nodes,
    open = (address) => openLegacy(net, address),
    ...options
  }: ClientOptions<Connection> & Partial<Own>,
  own: Own,
  openLegacy: (net: Net, address: NodeAddress) => Promise<Connection>,
): { settings: SystemSettings & Own; links: NodeLink<Connection>[] } {
  const given = Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined));
  const settings = { ...defaults, ...own, ...given };
  const { tls, attemptTimeoutMs: openTimeoutMs } = settings;
  const linkTo = (address: NodeAddress) =>
    new NodeLink({
      ...{ ...settings, openTimeoutMs, clock, random },
      name: `${address.host}:${address.port}`,
      open: () => open({ ...(tls !== undefined && { tls }), ...address }),
    });
  return { settings, links: nodes.map(linkTo) };
}

/** How a connection of the neo protocol is opened by a client of some kind of node. */
type NeoConnect<Connection> = (
  net: Net,
  clock: Clock,
  address: NodeAddress,
  credential: Credential,
) => Promise<Connection>;

/** Options for nodes that are spoken to by the neo protocol: their addresses are then those of their neo ports. */
export function neoOptions<Connection extends NodeConnection>(
  connect: NeoConnect<Connection>,
  { net, clock }: ClientSeams,
  credential: Credential,
) {
  const open = (address: NodeAddress): Promise<Connection> => connect(net, clock, address, credential);
  return { open, requestsPerConnection: 64, connections: 1 };
}

/** Another attempt, or another node, may do better: the node is gone, slow or does not own the key. */
export function isRepeatable(error: unknown): boolean {
  if (error instanceof StatusError) return error.status === Status.WrongNode;
  return error instanceof NxError && (error.code === "NX_CONNECT_FAILED" || error.code === "NX_TIMEOUT");
}

/** The nodes from the one whose turn it is. */
export function inTurn<Connection extends NodeConnection>(
  links: readonly NodeLink<Connection>[],
  turn: number,
): NodeLink<Connection>[] {
  const at = turn % Math.max(1, links.length);
  return [...links.slice(at), ...links.slice(0, at)];
}

/**
 * Writes at the first of the nodes that takes it: one that is full, gone, silent or does not own the key passes it on. Throws
 * what the last one said. `bytes`: what the request takes while it waits.
 */
export async function writeToOne<Connection extends NodeConnection>(
  links: readonly NodeLink<Connection>[],
  work: (node: Connection) => Promise<void>,
  bytes: number,
  attemptMs: number,
): Promise<void> {
  let failure: unknown = new NxError("NX_CONNECT_FAILED", "there is no node to write to");
  for (const link of links) {
    try {
      return await link.run(work, bytes, attemptMs);
    } catch (error) {
      const isFull = error instanceof StatusError && error.status === Status.OutOfMemory;
      if (!isFull && !isRepeatable(error)) throw error;
      failure = error;
    }
  }
  throw failure;
}

/** Asks all nodes; rejects when one does not answer in time. */
export function askAll<Connection extends NodeConnection, Answer>(
  links: readonly NodeLink<Connection>[],
  work: (node: Connection) => Promise<Answer>,
  timeoutMs: number,
): Promise<Answer[]> {
  return Promise.all(links.map((link) => link.run(work, 0, timeoutMs)));
}

/** What is in any of the lists, once, sorted. */
export const unionOf = (lists: string[][]): string[] => [...new Set(lists.flat())].sort();

/** Of a request that not every protocol has: `undefined` is one that the connection's does not. */
export const orRefused = <Answer>(answer: Promise<Answer> | undefined): Promise<Answer> =>
  answer ?? Promise.reject(new StatusError(Status.NotSupported));
