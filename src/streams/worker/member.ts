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
import type { Socket } from "../../core/seams/net.ts";
import { Outbox } from "../../core/sockets/outbox.ts";
import { jsonFrame, JsonFrameReader } from "../links/json-frames.ts";
import { hostPort } from "./addresses.ts";
import type { Hello, ToLeader, ToMember } from "./messages.ts";
import type { WorkerRuntime } from "./runtime.ts";
import type { StreamClaims } from "./stream-claims.ts";

export interface MemberOptions {
  world: Pick<World, "clock" | "net">;
  log: Log;
  streams: StreamClaims;
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
const OUTBOX_BYTES_MAX = 64 << 20;

export class Member {
  readonly #options: MemberOptions;
  readonly #runtime: WorkerRuntime;
  #send: ((message: ToLeader) => void) | undefined;
  #socket: Socket | undefined;
  #leader = "";
  #isClosed = false;
  #heardAtMs = 0;
  #timers: Timer[] = [];
  #refusal: string | undefined;
  /** Once it was in the cluster it does not ask to join any more. */
  hasJoined = false;

  constructor(runtime: WorkerRuntime, options: MemberOptions) {
    this.#runtime = runtime;
    this.#options = options;
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
    this.#timers = [clock.every(PING_MS, () => this.#ping())];
    void this.#connect();
  }

  /** The leader has moved. */
  moved(leader: string): void {
    if (leader === this.#leader) return;
    this.#leader = leader;
    this.#options.log.info("the leader is elsewhere", { leader });
    this.#socket?.terminate();
  }

  #ping(): void {
    if (this.#send === undefined) return;
    if (this.#options.world.clock.monotonicMs() - this.#heardAtMs > SILENCE_MS) this.#socket?.terminate();
    else this.#send({ type: "ping" });
  }

  async #connect(): Promise<void> {
    const { net, clock } = this.#options.world;
    const reader = new JsonFrameReader();
    let outbox: Outbox | undefined;
    try {
      await net.connect<undefined>({
        ...hostPort(this.#leader),
        handlers: {
          open: (socket) => {
            outbox = new Outbox(socket, { bytesMax: OUTBOX_BYTES_MAX });
            this.#socket = socket;
            this.#heardAtMs = clock.monotonicMs();
            this.#send = (message) => outbox?.send(jsonFrame(message));
            this.#send(this.#options.hello());
          },
          data: (_socket, _state, chunk) => {
            this.#heardAtMs = clock.monotonicMs();
            reader.feed(chunk, (message) => this.hear(message as ToMember));
          },
          drain: () => outbox?.drain(),
          close: () => this.#lost(),
        },
      });
    } catch {
      this.#lost();
    }
  }

  #lost(): void {
    this.#send = this.#socket = undefined;
    if (this.#isClosed) return;
    this.#timers[1]?.cancel();
    this.#timers[1] = this.#options.world.clock.after(RETRY_MS, () => void this.#connect());
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
    for (const timer of this.#timers) timer.cancel();
    this.#socket?.end();
  }
}
