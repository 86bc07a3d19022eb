/**
 * The mirror's side: has what another node has, and takes its place when it is told to.
 *
 * It applies the node's stream to its own store and log, and acknowledges what is durable here. A lost connection is opened
 * again and goes on where it was, if the node still knows; else everything is copied again. Invariant: what is acknowledged
 * is on this disk. While a whole copy is under way the store is not what the node was at any moment, and a promotion is refused.
 */
import type { Log } from "../../core/logging/log.ts";
import { NxError } from "../../core/errors.ts";
import { type Clock, sleep } from "../../core/seams/clock.ts";
import type { Net } from "../../core/seams/net.ts";
import type { NodeAddress } from "../wire/legacy/client.ts";
import { NeoWire } from "../wire/neo/connection.ts";
import type { Credential } from "../wire/neo/credentials.ts";
import { u64 } from "../wire/neo/messages.ts";
import { PayloadReader } from "../wire/neo/payload-reader.ts";
import { FOLLOW_CODE, FOLLOW_VERSION, FollowMessage } from "./protocol.ts";

export interface FollowerStore {
  readonly position: number;
  readonly durablePosition: number;
  /** Applies effects and logs them. */
  apply(effects: Uint8Array): void;
  /** Removes everything, and logs that. */
  clear(): void;
}

export interface FollowerOptions {
  net: Net;
  clock: Clock;
  log: Log;
  node: NodeAddress;
  credential: Credential;
  store: FollowerStore;
}

/** What a promotion may have lost. */
export interface Promotion {
  /** Bytes of changes that the node had announced and that are not here. */
  missingBytes: number;
  /** Milliseconds since the node was heard last: what it did since, nobody here knows. */
  silentMs: number;
}

const RETRY_MS = 200;
/** The node says something ten times a second. */
const SILENCE_MS_MAX = 3000;

export class MirrorFollower {
  readonly #options: FollowerOptions;
  #wire: NeoWire | undefined;
  #life = 0n;
  /** Of the node's log: what was applied here. */
  #applied = 0;
  #announced = 0;
  #heardAtMs = 0;
  #isComplete = false;
  #isStopped = false;
  /** Positions of the node that wait until ours is durable, oldest first. */
  #unconfirmed: { ours: number; theirs: number }[] = [];
  #running: Promise<void>;

  constructor(options: FollowerOptions) {
    this.#options = options;
    this.#running = this.#run();
  }

  get figures() {
    const { clock } = this.#options;
    return {
      isComplete: this.#isComplete,
      isConnected: this.#wire?.isClosed === false,
      behindBytes: Math.max(0, this.#announced - this.#applied),
      silentMs: this.#heardAtMs === 0 ? null : Math.round(clock.monotonicMs() - this.#heardAtMs),
    };
  }

  async #run(): Promise<void> {
    const { log, clock, node } = this.#options;
    let lastReason = "";
    while (!this.#isStopped) {
      try {
        await this.#follow();
      } catch (error) {
        const reason = (error as Error).message;
        if (!this.#isStopped && reason !== lastReason)
          log.warn(`not following ${node.host}:${node.port}: ${reason}`, { isComplete: this.#isComplete });
        lastReason = reason;
      } finally {
        this.#wire?.close();
      }
      if (!this.#isStopped) await sleep(clock, RETRY_MS);
    }
  }

  async #follow(): Promise<void> {
    const { net, clock, node, credential } = this.#options;
    const wire = await NeoWire.connect(net, clock, node, credential);
    this.#wire = wire;
    if (this.#isStopped) return;
    const position = this.#isComplete ? this.#applied : 0;
    const { queue } = await wire.begin(FOLLOW_CODE, FOLLOW_VERSION, u64(this.#life), u64(BigInt(position)));
    for (;;) {
      const watch = clock.after(SILENCE_MS_MAX, () => wire.close());
      const next = await queue.take().finally(() => watch.cancel());
      if (this.#isStopped) return;
      this.#heardAtMs = clock.monotonicMs();
      this.#take(new PayloadReader(next));
    }
  }

  #take(reader: PayloadReader): void {
    const { store, log } = this.#options;
    switch (reader.u8()) {
      case FollowMessage.whole:
        this.#life = reader.u64();
        this.#isComplete = false;
        this.#unconfirmed = [];
        store.clear();
        break;
      case FollowMessage.rest:
        this.#life = reader.u64();
        break;
      case FollowMessage.slice:
        store.apply(reader.rest());
        break;
      case FollowMessage.complete:
        this.#reached(Number(reader.u64()));
        this.#isComplete = true;
        log.info("the mirror has all records", { position: this.#applied });
        break;
      case FollowMessage.change: {
        const position = Number(reader.u64());
        store.apply(reader.rest());
        this.#reached(position);
        break;
      }
      case FollowMessage.idle:
        this.#announced = Math.max(this.#announced, Number(reader.u64()));
        break;
      default:
        throw new NxError("NX_CONNECT_FAILED", "the node sent what no mirror understands");
    }
  }

  #reached(position: number): void {
    this.#applied = position;
    this.#announced = Math.max(this.#announced, position);
    this.#unconfirmed.push({ ours: this.#options.store.position, theirs: position });
    this.onDurable();
  }

  /** To be called whenever our log's durable position has moved. */
  onDurable(): void {
    const { durablePosition } = this.#options.store;
    let confirmed: number | undefined;
    while (this.#unconfirmed[0] !== undefined && this.#unconfirmed[0].ours <= durablePosition)
      confirmed = this.#unconfirmed.shift()?.theirs;
    if (confirmed === undefined || this.#wire?.isClosed !== false) return;
    this.#wire.tell(1n, Uint8Array.of(FollowMessage.durable), u64(BigInt(confirmed)));
  }

  /** Ends following. Throws NX_NOT_READY while a whole copy is under way, unless it is forced. */
  async promote(isForced: boolean): Promise<Promotion> {
    if (!this.#isComplete && !isForced)
      throw new NxError("NX_NOT_READY", "the mirror does not have all records yet", {
        hint: "wait until it has; or force it, and lose what is missing",
      });
    const { behindBytes, silentMs } = this.figures;
    await this.stop();
    return { missingBytes: behindBytes, silentMs: silentMs ?? 0 };
  }

  async stop(): Promise<void> {
    this.#isStopped = true;
    this.#wire?.close();
    await Promise.race([this.#running, sleep(this.#options.clock, RETRY_MS * 2)]);
  }
}
