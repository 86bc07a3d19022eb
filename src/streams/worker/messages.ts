/**
 * What the leader of a cluster and its members say to each other, over the leader's control port: frames of JSON.
 *
 * Every message may be said again after a connection broke: who has done already what it asks just answers again.
 */
import type { Ring } from "../state/ring.ts";
import type { StreamGrant, StreamPositions, StreamReport } from "./stream-registry.ts";

export const WORKER_NAME = /^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/;

/** A worker as others reach it. */
export interface Place {
  name: string;
  control: string;
  data: string;
  /** Where its sources listen that others could stand in for, by kind and name. */
  sources?: Record<string, string>;
}

/** Who the workers are and which keys are whose: part of every committed checkpoint. */
export interface Layout {
  members: readonly string[];
  ring: Ring;
}

/** Keys by step. */
export type KeyCounts = Readonly<Record<string, number>>;

export interface Hello {
  type: "hello";
  name: string;
  /** Goes up with every start of this name: of two that live, the larger one is right. */
  incarnation: number;
  /** Chance, once for each process: tells two that started from copies of one directory. */
  life: number;
  plan: string;
  epoch: number;
  committed: number;
  /** The checkpoint that is prepared and not known to be committed; 0: none. */
  prepared: number;
  place: Place;
  /** It takes input that others would not know how far it was taken: it cannot leave. */
  hasSources: boolean;
  /** Wants to become a member, together with so many in all; 0: is one already. */
  joining: number;
  proof: string;
}

export type ToLeader =
  | Hello
  /** `streams`: what the checkpoint has of acknowledged streams. */
  | { type: "ready"; epoch: number; streams: readonly StreamReport[] }
  /** A sender has come that wants to go on with a stream. */
  | { type: "streamWanted"; epoch: number; source: string; stream: string }
  /** What was fed of streams, and which of them have their sender here. */
  | { type: "streams"; epoch: number; reports: readonly StreamReport[] }
  | { type: "prepared"; epoch: number; checkpoint: number }
  /** The checkpoint cannot be: a sink voted against it. */
  | { type: "aborted"; epoch: number; checkpoint: number; reason: string }
  /** Somebody is about to stop: take a checkpoint now. */
  | { type: "checkpointWanted" }
  /** The whole cluster is to stop. */
  | { type: "stopWanted" }
  | { type: "shrink"; names: readonly string[] }
  /** `keys`: how many this worker has, by step. */
  | { type: "ping"; keys: KeyCounts };

/** A leader that moved tells the members of its cluster, at their control ports. */
export interface LeaderNews {
  type: "leaderAt";
  control: string;
  proof: string;
}

export type ToMember =
  | { type: "refused"; reason: string; isFinal: boolean }
  /** Another worker of this name with a larger incarnation came: this one must end. */
  | { type: "fenced" }
  | { type: "leaderAt"; control: string }
  /**
   * Begin an epoch: go back to the checkpoint, link up. With `move` the keys are placed by `ring`, which is not that of
   * the checkpoint: those who have keys of others hand them over.
   */
  | {
      type: "begin";
      epoch: number;
      checkpoint: number;
      places: readonly Place[];
      ring: Ring;
      move: boolean;
      /** Workers that feed nothing any more: they leave with the next checkpoint. */
      leaving: readonly string[];
      /** Workers that the checkpoint does not know: they begin with nothing. */
      newcomers: readonly string[];
    }
  /** `inherited`: to the initializer, positions of streams whose worker leaves. */
  | { type: "go"; epoch: number; inherited?: StreamPositions }
  | { type: "stream"; epoch: number; source: string; stream: string; grant: StreamGrant }
  /** `hold`: sources rest until the next epoch. */
  | { type: "checkpoint"; epoch: number; checkpoint: number; hold: boolean }
  | { type: "committed"; epoch: number; checkpoint: number; layout: Layout }
  /** The cluster stops, behind a checkpoint. */
  | { type: "stop" }
  /** This worker has left: its files are of no more use. */
  | { type: "goodbye" }
  | { type: "ping" };
