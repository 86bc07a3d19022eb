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

/** `options` over `own` over the defaults of all clients; what is given as undefined counts as absent. */
export function settingsOf<Own extends object>(
  options: Partial<SystemOptions & Own>,
  own: Own,
): SystemSettings & Own {
  const given = Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined));
  return { ...defaults, ...own, ...given };
}

/** A link to each node, in the order of `nodes`; connections are opened when they are needed. */
export function openLinks<Connection extends NodeConnection>(
  { clock, random }: ClientSeams,
  nodes: readonly NodeAddress[],
  settings: SystemSettings,
  open: (address: NodeAddress) => Promise<Connection>,
): NodeLink<Connection>[] {
  return nodes.map(
    (address) =>
      new NodeLink({
        ...settings,
        openTimeoutMs: settings.attemptTimeoutMs,
        clock,
        random,
        name: `${address.host}:${address.port}`,
        open: () => open({ ...(settings.tls !== undefined && { tls: settings.tls }), ...address }),
      }),
  );
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
