/**
 * The way to one replica: keeps a connection, brings the current generation's copy there to its end, and hears how far it
 * is synced.
 *
 * Invariant: `syncedBytes` is what the replica said of the generation that is current, and no less is there while the
 * replica keeps its word. After a broken connection what lies behind it is cut, because a replica that lost its power may
 * hold anything there.
 */
import type { World } from "../../core/role.ts";
import type { Log } from "../../core/logging/log.ts";
import type { Timer } from "../../core/seams/clock.ts";
import type { Address } from "../sender/line.ts";
import { ReplicaConnection } from "./connection.ts";
import { generationOf } from "./copy-file.ts";
import type { Generation } from "./generation.ts";

export interface ChannelOptions {
  world: Pick<World, "net" | "clock">;
  log: Log;
  address: Address;
  directory: string;
  timeoutMs: number;
  reconnectMs: number;
  onSynced(): void;
  /** The replica lacks bytes that are forgotten here: a new generation is needed. */
  onBehind(): void;
}

export class ReplicaChannel {
  readonly #options: ChannelOptions;
  #generation: Generation | undefined;
  #connection: ReplicaConnection | undefined;
  #timer: Timer | undefined;
  #attempt = 0;
  #sent = 0;
  #synced = 0;
  #isCleaned = false;
  #isStopped = false;
  trouble: string | undefined = "not connected yet";

  constructor(options: ChannelOptions) {
    this.#options = options;
  }

  get syncedBytes(): number {
    return this.#synced;
  }

  /** Bytes that it lacks. */
  get lagBytes(): number {
    return (this.#generation?.end ?? 0) - this.#synced;
  }

  /** From now on this generation is copied, from its beginning. */
  begin(generation: Generation): void {
    this.#generation = generation;
    this.#synced = 0;
    this.#isCleaned = false;
    this.#dial();
  }

  #dial(): void {
    this.#connection?.close();
    this.#connection = undefined;
    this.#timer?.cancel();
    const generation = this.#generation;
    if (this.#isStopped || generation === undefined) return;
    const attempt = ++this.#attempt;
    this.#open(generation, attempt).catch((error: Error) => this.#lost(attempt, error.message));
  }

  async #open(generation: Generation, attempt: number): Promise<void> {
    const { world, address, directory, timeoutMs, onBehind, log } = this.#options;
    const connection = await ReplicaConnection.connect({
      ...{ world, address, timeoutMs },
      onClosed: (reason) => this.#lost(attempt, reason),
    });
    if (attempt !== this.#attempt || this.#isStopped) return connection.close();
    this.#connection = connection;
    await connection.request({ command: "u", directory });
    const file = (await connection.list()).find(({ name }) => name === generation.name);
    const bytes = file?.bytes ?? 0;
    if (attempt !== this.#attempt) return;
    if (bytes < this.#synced) {
      log.warn("a replica has lost its copy", { ...address, bytes, synced: this.#synced });
      this.#synced = 0;
    }
    if (bytes > this.#synced)
      await connection.request({ command: "T", name: generation.name, length: this.#synced });
    if (this.#synced < generation.start) {
      this.trouble = "waits for a snapshot";
      return onBehind();
    }
    this.#sent = this.#synced;
    await connection.append(generation.name, this.#synced, {
      onSynced: (syncedBytes) => this.#onSynced(attempt, syncedBytes),
      onRoom: () => this.push(),
    });
    if (attempt !== this.#attempt) return;
    this.trouble = undefined;
    this.push();
  }

  /** Sends what is there to send. */
  push(): void {
    const [connection, generation] = [this.#connection, this.#generation];
    if (connection === undefined || generation === undefined || this.trouble !== undefined) return;
    while (connection.hasRoom) {
      const bytes = generation.take(this.#sent);
      if (bytes === undefined) return;
      connection.send(bytes);
      this.#sent += bytes.byteLength;
    }
  }

  #onSynced(attempt: number, syncedBytes: number): void {
    if (attempt !== this.#attempt || syncedBytes <= this.#synced) return;
    if (syncedBytes > this.#sent) return this.#lost(attempt, "more is synced than was sent");
    this.#synced = syncedBytes;
    const { completeAt } = this.#generation as Generation;
    if (!this.#isCleaned && completeAt !== undefined && syncedBytes >= completeAt) {
      this.#isCleaned = true;
      this.#removeOlder(this.#generation as Generation).catch((error: Error) =>
        this.#options.log.warn(`older copies stay at a replica: ${error.message}`),
      );
    }
    this.#options.onSynced();
  }

  /** Copies of earlier generations are of no use once this one is whole. */
  async #removeOlder(generation: Generation): Promise<void> {
    const { world, address, directory, timeoutMs } = this.#options;
    const connection = await ReplicaConnection.connect({ world, address, timeoutMs });
    try {
      await connection.request({ command: "u", directory });
      for (const { name } of await connection.list()) {
        const number = generationOf(name);
        if (number !== undefined && number < generation.number)
          await connection.request({ command: "d", name });
      }
    } finally {
      connection.close();
    }
  }

  #lost(attempt: number, reason: string): void {
    if (attempt !== this.#attempt || this.#isStopped) return;
    this.#attempt++;
    this.#connection?.close();
    this.#connection = undefined;
    const { log, address, world, reconnectMs } = this.#options;
    if (this.trouble === undefined) log.warn(`a replica is lost: ${reason}`, { ...address });
    this.trouble = reason;
    this.#timer?.cancel();
    this.#timer = world.clock.after(reconnectMs, () => this.#dial());
  }

  stop(): void {
    this.#isStopped = true;
    this.#timer?.cancel();
    this.#connection?.close();
  }
}
