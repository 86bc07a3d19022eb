/** What the leader is given, and what it remembers of members and of the checkpoint under way. */
import type { Log } from "../../core/logging/log.ts";
import type { Clock } from "../../core/seams/clock.ts";
import type { KeyCounts, Layout, Place, ToMember } from "./messages.ts";

/** A member's connection. */
export interface Session {
  send(message: ToMember): void;
  close(): void;
}

export interface LeaderOptions {
  clock: Clock;
  log: Log;
  plan: string;
  /** Of the leader's own worker. */
  selfName: string;
  /** Members that a new cluster waits for. */
  size: number;
  checkpointMs: number;
  /** Writes the epoch and the places down; durable when it resolves. */
  remember(epoch: number, places: readonly Place[]): Promise<void>;
  /** Writes down that a checkpoint is committed; durable when it resolves. */
  decide(checkpoint: number, layout: Layout): Promise<void>;
  /** True while the leader's disk can take a checkpoint. */
  canCheckpoint(): boolean;
  onFatal(error: Error): void;
}

/** A worker as the leader knows it. */
export interface Member {
  name: string;
  incarnation: number;
  life: number;
  hasSources: boolean;
  place: Place;
  /** What it last said that it has; undefined before it has said anything. */
  keys: KeyCounts | undefined;
  session: Session | undefined;
  /** The epoch for which it said that it is ready. */
  readyEpoch: number;
}

/** The checkpoint that is under way. */
export interface Running {
  checkpoint: number;
  prepared: Set<string>;
  startedMs: number;
  hold: boolean;
  isDeciding: boolean;
}

export type LeaderPhase = "forming" | "waiting" | "beginning" | "running";
