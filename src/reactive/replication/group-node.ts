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
import type { Hello } from "../wire/handshake.ts";
import type { Link } from "../wire/link.ts";
import { FramedListener, type ListenerLimits, type Visitor } from "../wire/listener.ts";
import {
  ANSWER_BYTES_MAX,
  readCommand,
  readQuery,
  ResultStatus,
  writeResult,
  type Result,
} from "./client-codec.ts";
import { type DriverOptions, ReplicaDriver } from "./driver.ts";
import { replicaDefaults } from "./settings.ts";
import type { ReplicaSettings, StateMachine } from "./types.ts";

export interface GroupNodeOptions {
  context: Pick<
    RoleContext<unknown>,
    "clock" | "random" | "disk" | "net" | "log" | "tls" | "dataDir" | "fatal" | "announcePort"
  >;
  machine: StateMachine;
  /** Name of the group, the same at all replicas: others are refused. */
  group: string;
  replica: number;
  /** Addresses of all replicas, in order. */
  replicas: readonly { host: string; port: number }[];
  listen: { host: string; port: number };
  /** How to call the other replicas when they want TLS. */
  peerTls: ConnectOptions<unknown>["tls"];
  token: string | undefined;
  limits(): ListenerLimits;
  timing: Pick<ReplicaSettings, "heartbeatMs" | "electionMinMs" | "electionMaxMs" | "leaseMs">;
  journalBytesMin: number;
  /** Commands that one entry of the log may hold. */
  batch?: number;
  /** Of the journal's files; the log's own defaults when absent. */
  files?: DriverOptions["files"];
  /** Frames of the role's own types (`FrameType.service` and above), from clients. */
  service?: {
    /** The payload is only valid during the call. May throw WireError. */
    onFrame(visitor: Visitor, type: number, payload: Uint8Array): void;
    onClose?(visitor: Visitor): void;
  };
  /** Writing and syncing one group of the journal took so long. */
  onGroup?(durationMs: number): void;
}

const PEER_OUTBOX_BYTES_MAX = 128 << 20;
const PEER_PAYLOAD_BYTES_MAX = 64 << 20;
/** How often a primary that stops looks whether another one has begun: it takes a few messages. */
const HANDOVER_POLL_MS = 5;
const NOTHING = new Uint8Array(0);
const encoder = new TextEncoder();

export class GroupNode {
  readonly driver: ReplicaDriver;
  readonly #options: GroupNodeOptions;
  readonly #listener: FramedListener;
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
      await node.#listen();
    } catch (error) {
      await node.stop();
      throw error;
    }
    return node;
  }

  private constructor(options: GroupNodeOptions, driver: ReplicaDriver, peers: Map<number, Dialer>) {
    const { context, listen, token, limits } = options;
    this.#options = options;
    this.driver = driver;
    this.#peers = peers;
    this.#listener = new FramedListener({
      world: context,
      log: context.log.child("port"),
      ...listen,
      tls: context.tls,
      limits,
      token,
      welcome: () => ({
        replica: options.replica,
        replicas: options.replicas.length,
        view: driver.status.view,
        group: options.group,
      }),
      refusalOf: (hello) => this.#refusalOf(hello),
      payloadBytesMaxOf: ({ peer }) => (peer === undefined ? undefined : PEER_PAYLOAD_BYTES_MAX),
      onFrame: (visitor, type, payload) => this.#frame(visitor, type, payload),
      onClose: (visitor) => options.service?.onClose?.(visitor),
    });
  }

  async #listen(): Promise<void> {
    const port = await this.#listener.listen();
    this.#options.context.announcePort("port", port);
    for (const [index, address] of this.#options.replicas.entries()) {
      if (index !== this.#options.replica) this.#peers.set(index, this.#call(index, address));
    }
  }

  #call(index: number, { host, port }: { host: string; port: number }): Dialer {
    const { context, group, replica, replicas, token = "", peerTls } = this.#options;
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

  #refusalOf({ group, peer }: Hello): string | undefined {
    const own = this.#options;
    if ((group !== "" || peer !== undefined) && group !== own.group) {
      return `this is group "${own.group}", "${group}" was asked for`;
    }
    if (peer === undefined) return undefined;
    const size = own.replicas.length;
    if (peer.replicas !== size)
      return `this group has ${size} replicas, the caller's file says ${peer.replicas}`;
    const isOther = peer.replica < size && peer.replica !== own.replica;
    return isOther ? undefined : `the caller cannot be replica ${peer.replica} here`;
  }

  #frame(visitor: Visitor, type: number, payload: Uint8Array): void {
    const { link, hello } = visitor;
    const { service } = this.#options;
    if (type === FrameType.peer && hello.peer !== undefined) {
      this.driver.receive(payload, hello.peer.replica);
    } else if (type === FrameType.command && hello.peer === undefined) this.#command(link, payload);
    else if (type === FrameType.query && hello.peer === undefined) this.#query(link, payload);
    else if (type >= FrameType.service && service !== undefined && hello.peer === undefined) {
      service.onFrame(visitor, type, payload);
    } else throw new WireError(`frames of type ${type} are not for this port`);
  }

  #command(link: Link, payload: Uint8Array): void {
    const request = readCommand(payload);
    const { session, number } = request;
    this.#commands++;
    const refuse = () =>
      this.#reply(link, { session, number, status: ResultStatus.notPrimary, body: NOTHING });
    if (this.driver.isOverloaded) {
      const body = encoder.encode("too many requests wait here: try again later");
      this.#reply(link, { session, number, status: ResultStatus.refused, body });
      return;
    }
    const isTaken = this.driver.submit(request, (outcome) => {
      if (outcome === undefined) refuse();
      else this.#reply(link, outcome);
    });
    if (!isTaken) refuse();
  }

  #query(link: Link, payload: Uint8Array): void {
    const { number, body } = readQuery(payload);
    this.#queries++;
    const reply = (status: ResultStatus, answer: Uint8Array) =>
      this.#reply(link, { session: 0, number, status, body: answer });
    this.driver.query(body).then(
      (answer) => {
        if (answer === undefined) reply(ResultStatus.notPrimary, NOTHING);
        else if (answer.byteLength <= ANSWER_BYTES_MAX) reply(ResultStatus.ok, answer);
        else
          reply(
            ResultStatus.tooLong,
            encoder.encode(`an answer of ${answer.byteLength} bytes, at most ${ANSWER_BYTES_MAX} are sent`),
          );
      },
      (error: Error) => reply(ResultStatus.refused, encoder.encode(error.message)),
    );
  }

  #reply(link: Link, { session, number, status, body }: Omit<Result, "view">): void {
    const result = { session, number, status, view: this.driver.view, body };
    link.send(FrameType.result, (writer) => writeResult(writer, result));
  }

  // --- what it says of itself ------------------------------------------------------------------------------------

  get group(): string {
    return this.#options.group;
  }

  get figures() {
    return {
      ...this.#listener.figures,
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
    this.#listener.stopListening();
    if (this.#options.replicas.length === 1) return;
    while (isPrimary && this.driver.view === view && clock.monotonicMs() < deadlineMs)
      await sleep(clock, HANDOVER_POLL_MS);
  }

  async stop(): Promise<void> {
    for (const peer of this.#peers.values()) peer.stop();
    this.#listener.close();
    await this.driver.close();
  }
}
