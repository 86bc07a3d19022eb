/**
 * A member of the cluster: hears the leader and lets the runtime do it, says hello again after every break.
 *
 * Invariant: answers carry the epoch they belong to; what belongs to an earlier one is not said any more. A member that
 * is refused for good, or finds a newer worker of its name, ends.
 */
import { NxError } from "../../core/errors.ts";
import type { Log } from "../../core/logging/log.ts";
import type { World } from "../../core/role.ts";
import type { Timer } from "../../core/seams/clock.ts";
import { Redial } from "../../core/sockets/redial.ts";
import { jsonFrame, JsonFrameReader } from "../links/json-frames.ts";
import { hostPort } from "./addresses.ts";
import type { Hello, KeyCounts, ToLeader, ToMember } from "./messages.ts";
import type { WorkerRuntime } from "./runtime.ts";
import type { StreamClaims } from "./stream-claims.ts";

export interface MemberOptions {
  world: Pick<World, "clock" | "net">;
  log: Log;
  streams: StreamClaims;
  /** How many keys this worker has right now, by step. */
  keyCounts(): KeyCounts;
  /** A fresh hello each time. */
  hello(): Hello;
  /** Written down before the member is ready: durable when it resolves. */
  remember(epoch: number, leader: string): Promise<void>;
  onFatal(error: Error): void;
  /** The member has left the cluster. */
  onGoodbye(): void;
  /** The cluster stops. */
  onStop(): void;
}

const RETRY_MS = 100;
export const PING_MS = 1000;
export const SILENCE_MS = 10_000;
/** The leader pings more often. */
const MISSED_MS = 2.5 * PING_MS;
const OUTBOX_BYTES_MAX = 64 << 20;

export class Member {
  readonly #options: MemberOptions;
  readonly #runtime: WorkerRuntime;
  #send: ((message: ToLeader) => void) | undefined;
  readonly #redial: Redial;
  #reader = new JsonFrameReader();
  #leader = "";
  #isClosed = false;
  #heardAtMs = 0;
  #pings: Timer | undefined;
  #refusal: string | undefined;
  /** Once it was in the cluster it does not ask to join any more. */
  hasJoined = false;

  constructor(runtime: WorkerRuntime, options: MemberOptions) {
    this.#runtime = runtime;
    this.#options = options;
    this.#redial = new Redial({
      ...{ world: options.world, retryMs: RETRY_MS, outbox: { bytesMax: OUTBOX_BYTES_MAX } },
      address: () => hostPort(this.#leader),
      onOpen: () => this.#opened(),
      onData: (chunk) => this.#received(chunk),
      onDown: () => {
        this.#send = undefined;
      },
    });
  }

  get leader(): string {
    return this.#leader;
  }

  /** Why the cluster does not let it in, as long as it does not. */
  get refusal(): string | undefined {
    return this.#refusal;
  }

  get isConnected(): boolean {
    return this.#send !== undefined;
  }

  // --- the leader in another process -------------------------------------------------------------------------------

  /** Stays connected to the leader at this control address. */
  follow(leader: string): void {
    const { clock } = this.#options.world;
    this.#leader = leader;
    this.#pings = clock.every(PING_MS, () => this.#ping());
    this.#redial.dial();
  }

  /** The leader misses this member, and says where it is. */
  moved(leader: string): void {
    const isElsewhere = leader !== this.#leader;
    // A connection over which nothing came lately is to a leader that died with its host.
    if (!isElsewhere && this.#silentMs < MISSED_MS) return;
    this.#leader = leader;
    const news = isElsewhere ? "the leader is elsewhere" : "the leader has started anew";
    this.#options.log.info(news, { leader });
    // An attempt to reach the old one may last for as long as nobody answers.
    if (this.#redial.socket === undefined) this.#redial.dial();
    else this.#redial.fail(news);
  }

  get #silentMs(): number {
    return this.#options.world.clock.monotonicMs() - this.#heardAtMs;
  }

  #ping(): void {
    if (this.#send === undefined) return;
    if (this.#silentMs > SILENCE_MS) this.#redial.fail("the leader is silent");
    else this.#send({ type: "ping", keys: this.#options.keyCounts() });
  }

  #opened(): void {
    this.#reader = new JsonFrameReader();
    this.#heardAtMs = this.#options.world.clock.monotonicMs();
    this.#send = (message) => this.#redial.outbox?.send(jsonFrame(message));
    this.#send(this.#options.hello());
  }

  #received(chunk: Uint8Array): void {
    this.#heardAtMs = this.#options.world.clock.monotonicMs();
    this.#reader.feed(chunk, (message) => this.hear(message as ToMember));
  }

  // --- the leader in this process ----------------------------------------------------------------------------------

  /** Attaches to a leader in this process. */
  attach(send: (message: ToLeader) => void): void {
    this.#send = send;
  }

  // --- messages ----------------------------------------------------------------------------------------------------

  say(message: ToLeader): void {
    this.#send?.(message);
  }

  hear(message: ToMember): void {
    if (this.#isClosed) return;
    switch (message.type) {
      case "begin":
        this.#refusal = undefined;
        this.#begin(message).catch((error: unknown) => this.#options.onFatal(error as Error));
        break;
      case "go":
        this.hasJoined = true;
        // Said again: the connection to the leader was lost in between.
        if (message.epoch === this.#runtime.epoch && this.#runtime.isRunning) this.#options.streams.resume();
        this.#runtime.go(message.epoch, message.inherited);
        break;
      case "checkpoint":
        if (message.epoch === this.#runtime.epoch)
          this.#runtime.startCheckpoint(message.checkpoint, message.hold);
        break;
      case "committed":
        if (message.epoch === this.#runtime.epoch)
          this.#runtime.committed(message.checkpoint, message.layout);
        break;
      case "stream":
        this.#options.streams.hear(message);
        break;
      case "leaderAt":
        this.moved(message.control);
        break;
      case "refused":
        this.#refused(message.reason, message.isFinal);
        break;
      case "fenced":
        this.#options.onFatal(
          new NxError("NX_STREAM_REFUSED", "a newer worker of this name has taken over", {
            hint: "this one was moved or restarted elsewhere; its directory is of no more use",
          }),
        );
        break;
      case "goodbye":
        this.close();
        this.#options.onGoodbye();
        break;
      case "stop":
        this.#options.onStop();
        break;
      case "ping":
        break;
    }
  }

  #refused(reason: string, isFinal: boolean): void {
    if (reason !== this.#refusal)
      this.#options.log.warn(`the cluster does not let this worker in: ${reason}`);
    this.#refusal = reason;
    if (isFinal) {
      this.#options.onFatal(
        new NxError("NX_STREAM_REFUSED", `the cluster does not let this worker in: ${reason}`, {
          hint: "`node-x stream status` of the initializer shows the cluster",
        }),
      );
    }
  }

  async #begin(message: Extract<ToMember, { type: "begin" }>): Promise<void> {
    this.#options.streams.begin();
    await this.#runtime.begin(message);
    if (this.#runtime.epoch !== message.epoch) return;
    await this.#options.remember(message.epoch, this.#leader);
    if (this.#runtime.epoch !== message.epoch) return;
    this.say({ type: "ready", epoch: message.epoch, streams: this.#options.streams.reports() });
  }

  close(): void {
    this.#isClosed = true;
    this.#pings?.cancel();
    this.#redial.end();
  }
}
