/**
 * Makes what the primary's file says of retention what the whole group does, and tells who has another file that it does not count.
 *
 * Invariant: the group is told by a command of its log, so no two replicas ever forget by different rules; a rolling restart with
 * new files changes the rules for all of them at one entry, when the first of the new files is the primary's. A crash loses
 * nothing: the next primary looks again.
 */
import type { Log } from "../../core/logging/log.ts";
import type { World } from "../../core/role.ts";
import type { Timer } from "../../core/seams/clock.ts";
import { GroupClient } from "../replication/group-client.ts";
import type { LocalReplica } from "../replication/replica-line.ts";
import { encodeCommand } from "./commands.ts";
import { differences, FORGET_NOTHING, type Retention } from "./retention.ts";

const LOOK_MS = 500;
const TIMEOUT_MS = 5000;

export interface RetentionKeeperOptions {
  world: Pick<World, "net" | "clock" | "random">;
  log: Pick<Log, "info" | "warn">;
  group: string;
  replica: LocalReplica;
  isPrimary(): boolean;
  /** What the group does now. */
  current(): Retention;
  /** What this replica's file says. */
  own: Retention;
}

export class RetentionKeeper {
  readonly #options: RetentionKeeperOptions;
  readonly #timer: Timer;
  #telling: GroupClient | undefined;
  #warned = "";

  constructor(options: RetentionKeeperOptions) {
    this.#options = options;
    this.#timer = options.world.clock.every(LOOK_MS, () => this.#look());
  }

  /** The file says something else than what the group does. */
  get differs(): boolean {
    const { current, own } = this.#options;
    return differences(own, current()).length > 0;
  }

  #look(): void {
    const { current, isPrimary } = this.#options;
    if (!this.differs) this.#warned = "";
    else if (isPrimary()) void this.#tell();
    else if (differences(FORGET_NOTHING, current()).length > 0) this.#warn();
  }

  /** A replica that is primary no more asks in vain until its time is over. */
  async #tell(): Promise<void> {
    if (this.#telling !== undefined) return;
    const { world, log, group, replica, own } = this.#options;
    const nowhere = [{ host: "127.0.0.1", port: 1 }];
    const client = new GroupClient({ world, group, replicas: nowhere, here: { index: 0, replica }, timeoutMs: TIMEOUT_MS }); // prettier-ignore
    this.#telling = client;
    try {
      await client.command(encodeCommand({ kind: "retain", retention: own }));
      log.info("the group keeps versions and outcomes as this replica's file says", { ...own });
    } catch {
      // The next look finds out whether it is still to be done.
    } finally {
      client.close();
      this.#telling = undefined;
    }
  }

  #warn(): void {
    const { log, own, current } = this.#options;
    const text = differences(own, current())
      .map((key) => `${key} is ${own[key]} in this replica's file and ${current()[key]} in the primary's`)
      .join(", ");
    if (text === this.#warned) return;
    this.#warned = text;
    log.warn(`${text}: the primary's counts, for all replicas; give all of them the same file`);
  }

  stop(): void {
    this.#timer.cancel();
    this.#telling?.close();
  }
}
