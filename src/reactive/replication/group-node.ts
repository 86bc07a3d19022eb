/**
 * One replica of a group on the network: what a role needs to be replicated. It listens for clients and for the other
 * replicas, calls these, and puts their messages and the clients' commands into the driver.
 *
 * Invariant: a client that is answered `notPrimary` knows from the view whom to ask; one whose connection breaks can ask
 * anybody again under the same session and number. Messages to a replica that is not connected are dropped.
 */
import { crc32c } from "../../native/crc32c.ts";
import type { RoleContext } from "../../core/role.ts";
import { sleep } from "../../core/seams/clock.ts";
import type { ConnectOptions } from "../../core/seams/net.ts";
import { WireError } from "../wire/bytes.ts";
import { Dialer } from "../wire/dialer.ts";
import { FRAME_HEADER_BYTES, FrameType } from "../wire/frame.ts";
import type { Visitor } from "../wire/listener.ts";
import {
  ANSWER_BYTES_MAX,
  readCommand,
  readQuery,
  ResultStatus,
  writeResult,
  type Query,
  type Result,
} from "./client-codec.ts";
import { type DriverOptions, ReplicaDriver } from "./driver.ts";
import { type GroupPort, PEER_PAYLOAD_BYTES_MAX, type PortMember } from "./group-port.ts";
import type { LocalReplica } from "./replica-line.ts";
import { replicaDefaults } from "./settings.ts";
import type { ReplicaSettings, Request, StateMachine } from "./types.ts";

export interface GroupNodeOptions {
  context: Pick<RoleContext<unknown>, "clock" | "random" | "disk" | "net" | "log" | "dataDir" | "fatal">;
  machine: StateMachine;
  /** Name of the group, the same at all replicas: others are refused. */
  group: string;
  replica: number;
  /** Addresses of all replicas, in order. */
  replicas: readonly { host: string; port: number }[];
  /** Where clients and the other replicas come in. */
  port: GroupPort;
  /** How to call the other replicas when they want TLS. */
  peerTls: ConnectOptions<unknown>["tls"];
  timing: Pick<ReplicaSettings, "heartbeatMs" | "electionMinMs" | "electionMaxMs" | "leaseMs">;
  journalBytesMin: number;
  /** Commands that one entry of the log may hold. */
  batch?: number;
  /** Of the journal's files; the log's own defaults when absent. */
  files?: DriverOptions["files"];
  /** Writing and syncing one group of the journal took so long. */
  onGroup?(durationMs: number): void;
}

const PEER_OUTBOX_BYTES_MAX = 128 << 20;
/** How often a primary that stops looks whether another one has begun: it takes a few messages. */
const HANDOVER_POLL_MS = 5;
const NOTHING = new Uint8Array(0);
const encoder = new TextEncoder();

export class GroupNode implements LocalReplica, PortMember {
  readonly driver: ReplicaDriver;
  readonly #options: GroupNodeOptions;
  readonly #peers: Map<number, Dialer>;
  #commands = 0;
  #queries = 0;

  static async open(options: GroupNodeOptions): Promise<GroupNode> {
    const { context, machine, replica, replicas, timing, journalBytesMin, batch, files, onGroup } = options;
    const peers = new Map<number, Dialer>();
    const driver = await ReplicaDriver.open({
      world: context,
      crc32c,
      log: context.log.child("replica"),
      directory: context.dataDir,
      settings: {
        ...replicaDefaults,
        ...timing,
        ...(batch !== undefined && { entryRequestsMax: batch }),
        replica,
        replicas: replicas.length,
      },
      machine,
      send: (to, frame) => void peers.get(to)?.sendFrame(FrameType.peer, frame),
      headerBytes: FRAME_HEADER_BYTES,
      journalBytesMin,
      ...(files !== undefined && { files }),
      onFatal: context.fatal,
      ...(onGroup !== undefined && { onGroup }),
    });
    const node = new GroupNode(options, driver, peers);
    try {
      await node.#join();
    } catch (error) {
      await node.stop();
      throw error;
    }
    return node;
  }

  private constructor(options: GroupNodeOptions, driver: ReplicaDriver, peers: Map<number, Dialer>) {
    this.#options = options;
    this.driver = driver;
    this.#peers = peers;
  }

  async #join(): Promise<void> {
    const { port, replica, replicas } = this.#options;
    await port.join(this);
    for (const [index, address] of replicas.entries())
      if (index !== replica) this.#peers.set(index, this.#call(index, address));
  }

  #call(index: number, { host, port }: { host: string; port: number }): Dialer {
    const { context, group, replica, replicas, peerTls } = this.#options;
    const token = this.#options.port.token ?? "";
    const log = context.log.child("peers");
    let isDown = false;
    return new Dialer({
      world: context,
      host,
      port,
      tls: peerTls,
      hello: { peer: { replica, replicas: replicas.length }, group, token },
      outboxBytesMax: PEER_OUTBOX_BYTES_MAX,
      payloadBytesMax: PEER_PAYLOAD_BYTES_MAX,
      retryMsMax: 500,
      onWelcome: () => {
        isDown = false;
        log.info(`connected to replica ${index}`);
      },
      // Replicas answer over their own connections.
      onFrame: () => {},
      onLost: (reason) => {
        if (!isDown) log.warn(`replica ${index} (${host}:${port}) cannot be reached: ${reason}`);
        isDown = true;
      },
    });
  }

  // --- for the port ----------------------------------------------------------------------------------------------

  get group(): string {
    return this.#options.group;
  }

  welcome() {
    const { group, replica, replicas } = this.#options;
    return { replica, replicas: replicas.length, view: this.driver.status.view, group };
  }

  refusalOf(peer: { replica: number; replicas: number }): string | undefined {
    const { replica, replicas } = this.#options;
    const size = replicas.length;
    if (peer.replicas !== size)
      return `this group has ${size} replicas, the caller's file says ${peer.replicas}`;
    const isOther = peer.replica < size && peer.replica !== replica;
    return isOther ? undefined : `the caller cannot be replica ${peer.replica} here`;
  }

  onFrame({ link, hello }: Visitor, type: number, payload: Uint8Array): void {
    const reply = (result: Result) => link.send(FrameType.result, (writer) => writeResult(writer, result));
    if (type === FrameType.peer && hello.peer !== undefined) {
      this.driver.receive(payload, hello.peer.replica);
    } else if (type === FrameType.command && hello.peer === undefined)
      this.command(readCommand(payload), reply);
    else if (type === FrameType.query && hello.peer === undefined) this.query(readQuery(payload), reply);
    else throw new WireError(`frames of type ${type} are not for this port`);
  }

  // --- for clients, wherever they are ----------------------------------------------------------------------------

  get requestBytesMax(): number {
    return this.#options.port.limits.requestBytesMax;
  }

  command(request: Request, reply: (result: Result) => void): void {
    const { session, number } = request;
    this.#commands++;
    const answer = (status: ResultStatus, body: Uint8Array) =>
      reply({ session, number, status, view: this.driver.view, body });
    if (this.driver.isOverloaded) {
      answer(ResultStatus.refused, encoder.encode("too many requests wait here: try again later"));
      return;
    }
    const isTaken = this.driver.submit(request, (outcome) => {
      if (outcome === undefined) answer(ResultStatus.notPrimary, NOTHING);
      else reply({ ...outcome, view: this.driver.view });
    });
    if (!isTaken) answer(ResultStatus.notPrimary, NOTHING);
  }

  query({ number, body }: Query, reply: (result: Result) => void): void {
    this.#queries++;
    const answer = (status: ResultStatus, bytes: Uint8Array) =>
      reply({ session: 0, number, status, view: this.driver.view, body: bytes });
    this.driver.query(body).then(
      (bytes) => {
        if (bytes === undefined) answer(ResultStatus.notPrimary, NOTHING);
        else if (bytes.byteLength <= ANSWER_BYTES_MAX) answer(ResultStatus.ok, bytes);
        else
          answer(
            ResultStatus.tooLong,
            encoder.encode(`an answer of ${bytes.byteLength} bytes, at most ${ANSWER_BYTES_MAX} are sent`),
          );
      },
      (error: Error) => answer(ResultStatus.refused, encoder.encode(error.message)),
    );
  }

  // --- what it says of itself ------------------------------------------------------------------------------------

  get figures() {
    return {
      ...this.#options.port.figures,
      commands: this.#commands,
      queries: this.#queries,
      committed: this.driver.committed,
      peersConnected: [...this.#peers.values()].filter(({ isConnected }) => isConnected).length,
    };
  }

  stats() {
    const { trouble, ...status } = this.driver.status;
    const { group, replica, replicas } = this.#options;
    return {
      group,
      replica,
      replicas: replicas.length,
      ...status,
      trouble: trouble ?? null,
      hasLease: this.driver.hasLease,
      incarnation: this.driver.incarnation,
      sessions: this.driver.service.sessions.size,
      ...this.figures,
      ...this.driver.figures,
      journal: { ...this.driver.journalStats },
    };
  }

  notReady(): string[] {
    const { trouble } = this.driver.status;
    return trouble === undefined ? [] : [trouble];
  }

  // --- the end ---------------------------------------------------------------------------------------------------

  /** Refuses connections, and lets another replica become primary: resolves when one is, or would be without help. */
  async drain(): Promise<void> {
    const { view, isPrimary } = this.driver.status;
    const { clock } = this.#options.context;
    const deadlineMs = clock.monotonicMs() + this.#options.timing.electionMaxMs;
    this.driver.resign();
    this.#options.port.stopListening();
    if (this.#options.replicas.length === 1) return;
    while (isPrimary && this.driver.view === view && clock.monotonicMs() < deadlineMs)
      await sleep(clock, HANDOVER_POLL_MS);
  }

  async stop(): Promise<void> {
    for (const peer of this.#peers.values()) peer.stop();
    this.#options.port.leave(this.group);
    await this.driver.close();
  }
}
