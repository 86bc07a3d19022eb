/**
 * State that may have a log behind it: a node's `durability` decides.
 *
 * Invariant: with a log these are the log's own answers. Without one every position is 0, so that no reply waits, and
 * nothing is ever refused or congested; what survives a crash is then the heir's affair.
 */
import type { DurableLog } from "./durable-log.ts";
import type { PortState } from "./gated-port.ts";
import type { Durability } from "./reply-gate.ts";

export abstract class LogBacked implements Durability, PortState {
  protected log: DurableLog | undefined;

  get position(): number {
    return this.log?.position ?? 0;
  }

  get durablePosition(): number {
    return this.log?.durablePosition ?? 0;
  }

  get isStalled(): boolean {
    return this.log?.isStalled === true;
  }

  /** Clients must wait before they send more. Never while writes are refused anyway. */
  get isCongested(): boolean {
    return this.log?.isCongested === true;
  }

  /** Why writes are refused right now; undefined when all is well. */
  get refusal(): string | undefined {
    return this.log?.refusal;
  }

  /** Moves the effects of what was just executed into the log's gathering group. */
  commit(): void {
    this.log?.commit();
  }

  /** Begins a compaction that somebody asked for; returns why it cannot begin, as a protocol's error text. */
  requestCompaction(): string | undefined {
    if (this.log === undefined) return 'ERR there is no log to rewrite: durability is not "log"';
    return this.log.requestCompaction();
  }

  /** Rewrites the log as a snapshot now, unless that is under way. */
  async compact(): Promise<void> {
    await this.log?.compact();
  }
}
