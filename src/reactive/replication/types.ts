/**
 * The words of replication: what a group agrees on, what replicas say to each other, what goes into the pure state
 * machine and what comes out of it. Everything else in this folder is written in them.
 *
 * The protocol is Viewstamped Replication Revisited (Liskov and Cowling, MIT-CSAIL-TR-2012-021) with a durable log:
 * `replica.ts` says how the parts fit and where it departs from the paper.
 *
 * Numbers are safe integers. Replicas are named by their index, 0 to n-1, the order of the group's configuration.
 */

import type { Steps } from "./steps.ts";

// --- the replicated service ------------------------------------------------------------------------------------

/** One command of a client, at its place in the order that the whole group agrees on. */
export interface Command {
  /** Of the session that sent it; unique in the life of the group. */
  session: number;
  /** Of the request in its session, from 1. */
  number: number;
  /** Only valid during `apply`. */
  body: Uint8Array;
  /** At the primary that took it: what `admit` made of the body. */
  decoded?: unknown;
}

/** The commands of one log entry: those that waited when it was made, in order. */
export interface Batch {
  /** Position in the log, one more than the entry's before it. */
  op: number;
  /** The group's own time (group-clock.ts), milliseconds; never less than in an earlier entry. */
  timeMs: number;
  /** May be empty: sessions are managed in entries too. */
  commands: readonly Command[];
  /** What was ordered and is not executed: copies of what was, and what a forgotten session sent. */
  skipped?: readonly Command[];
}

/**
 * The service that a group replicates: a timestamp counter, a shard of a store.
 *
 * It must be deterministic: the same batches give the same state and the same replies on every replica and after every
 * restart. So no clock, no coin, no order of hash tables; time comes with the batch. It is called from one place, never
 * while an earlier call is under way. It keeps nothing on disk by itself: the group's journal does.
 */
export interface StateMachine {
  /**
   * Applies the commands in order and returns one reply for each. Called once for each entry that the group has
   * committed, in the order of `op`. Throws only for a defect of its own: the replica then stops.
   *
   * What takes longer than some milliseconds comes as steps instead: nothing else of the machine is called before the last of them
   * but `admit` and `dropped`, or `finish` of a `StateRestorer`, whose state then takes the place of a half applied one. Whoever
   * it makes wait must not be let go before the last step.
   */
  apply(batch: Batch): Uint8Array[] | Steps<Uint8Array[]>;
  /**
   * The state as it is at this call, in chunks (a megabyte or less each), read piece by piece while `apply` goes on: what
   * is streamed must not move. `close` is called when it was read or is no longer wanted.
   */
  snapshot(): StateStream;
  /** Begins to rebuild a state beside the present one. */
  restore(): StateRestorer;
  /**
   * Answers a read that changes nothing, on the primary, after the group confirmed that it still is the primary and
   * everything acknowledged before the read arrived has been applied. May answer later (a read that waits for a prepared
   * transaction). Undefined: the client is to ask again. Throws an Error whose message the client sees.
   */
  query?(body: Uint8Array, view: number): Uint8Array | undefined | Promise<Uint8Array | undefined>;
  /**
   * A command came to the primary of `view` and is about to be ordered. What is returned is its answer instead: it is not ordered,
   * and no replica hears of it. What was read of the body may be left in `decoded`, where `apply` of the same entry finds it, the same object.
   */
  admit?(command: Command, view: number): Uint8Array | undefined;
  /** As primary it gave up all commands that are not applied; the log up to `op` may hold some of them all the same. */
  dropped?(op: number): void;
}

export interface StateStream {
  chunks: Iterable<Uint8Array> | AsyncIterable<Uint8Array>;
  close(): void;
}

/** Takes the chunks of a `StateStream` in order. Nothing of it shows before `finish`. */
export interface StateRestorer {
  /** `chunk` is only valid during the call. */
  add(chunk: Uint8Array): void;
  /** Makes it the state. Throws when the chunks are not a whole state. */
  finish(): void;
  /** Drops what was taken. */
  abandon(): void;
}

// --- the log ---------------------------------------------------------------------------------------------------

/** One request as it stands in an entry. Session 0 asks for a new session; `number` is then a coin of the client. */
export interface Request extends Command {
  /** The lowest number of this session whose reply the client still wants: replies below may be forgotten. */
  floor: number;
}

/** One place of the log. Two entries are the same entry when `op` and `view` are equal. */
export interface Entry {
  op: number;
  /** In which it was made; views that adopt it keep this number. */
  view: number;
  /** Wall clock of the primary that made it. The service sees the greatest so far. */
  timeMs: number;
  /** The requests, encoded (codec.ts); not looked into before they are applied. */
  payload: Uint8Array;
  /** The same, at the primary that made it, until it is applied. */
  requests?: readonly Request[] | undefined;
}

// --- what a replica keeps --------------------------------------------------------------------------------------

/**
 * What a replica must never forget, because it promised it to others: kept in the superblocks. A replica without one is
 * blank: it never was in the group, or its disk was lost. It does not vote before it has found out which.
 */
export interface Promises {
  /** Random name of the group, made when it was formed. */
  group: number;
  replica: number;
  replicas: number;
  /** It takes no part in a view below this one. */
  view: number;
  /**
   * For each replica how often it began with an empty disk, as far as known. Messages of an earlier incarnation are those
   * of a replica that has since forgotten what it said.
   */
  incarnations: number[];
  /** On replica 0: the lives that the group was formed of (`form`). Empty elsewhere. */
  founders: number[];
}

/** One change of the durable log; a record is written whole or not at all. */
export type JournalRecord =
  /** Entries behind the last one. */
  | { kind: "append"; entries: Entry[] }
  /** The log of a new view: what is behind `keep` is cut off, then come `entries`; from here on `logView` is this. */
  | { kind: "install"; logView: number; keep: number; entries: Entry[] };

/** What a replica finds when it starts. */
export interface Restored {
  /** Undefined: blank. */
  promises: Promises | undefined;
  /** The last view in which this log was normal: what decides between logs in a view change. */
  logView: number;
  /** Up to here the service's snapshot has been restored; entries begin behind it. */
  snapshotOp: number;
  entries: Entry[];
}

// --- messages between replicas ---------------------------------------------------------------------------------

/** What stands in front of every message. */
export interface Envelope {
  /** 0: the sender is blank. */
  group: number;
  from: number;
  /** 0: the sender is blank. */
  incarnation: number;
  /** The highest view that the sender takes part in. */
  view: number;
  message: PeerMessage;
}

export type PeerMessage =
  // Who are you? Sent by blank replicas until they know whether to found the group or to recover.
  | { type: "hello"; nonce: number }
  /** `incarnation`: the highest known one of the asker. */
  | { type: "helloReply"; echo: number; nonce: number; isMember: boolean; incarnation: number }
  /** Replica 0 found all replicas blank: the group of these lives is founded. */
  | { type: "form"; nonces: number[] }
  // A member that lost its disk, under its new incarnation.
  | { type: "recover"; nonce: number }
  | { type: "recoverOk"; nonce: number; incarnations: number[] }
  // Normal work. Without entries, `prepare` is the heartbeat.
  | { type: "prepare"; sentAtMs: number; op: number; commit: number; entries: Entry[] }
  /** `op`: durable up to here. `sentAtMs`: of the newest `prepare` seen; renews the primary's lease. */
  | { type: "prepareOk"; sentAtMs: number; op: number }
  // View changes.
  /** `isResigning`: the sender was at work as primary of its view and never will be again in this view. */
  | { type: "startViewChange"; proposed: number; isResigning: boolean }
  | { type: "doViewChange"; logView: number; op: number; commit: number; incarnations: number[] }
  /**
   * The primary's log: that of log view `sourceView` up to `base`, then its own entries. `nonce`: of the `getView` that
   * this answers, 0 when nobody asked.
   */
  | {
      type: "startView";
      nonce: number;
      sourceView: number;
      base: number;
      op: number;
      commit: number;
      incarnations: number[];
    }
  | { type: "getView"; nonce: number }
  // State transfer.
  | { type: "getEntries"; first: number; last: number }
  /** `start`: the first op that the sender still has. */
  | { type: "entries"; first: number; start: number; entries: Entry[] }
  | { type: "getSnapshot"; transfer: number; index: number }
  | {
      type: "snapshotChunk";
      transfer: number;
      index: number;
      op: number;
      isLast: boolean;
      bytes: Uint8Array;
    };

// --- the state machine's inputs and outputs --------------------------------------------------------------------

/** When an event happened, on the replica's own clocks. */
export interface Moment {
  /** Never backwards: for time spans. */
  monotonicMs: number;
  /** Milliseconds since 1970: where it jumps, the monotonic clock stood still. */
  wallMs: number;
  /** What an entry made now carries as its `timeMs`. */
  groupMs: number;
}

export type ReplicaEvent =
  | { kind: "message"; envelope: Envelope }
  /** Everything that was readable in this turn of the event loop has been handed in: batches close. */
  | { kind: "turnEnd" }
  /** A read wants to know whether this replica is the primary and has applied enough. */
  | { kind: "read"; id: number }
  /** The write of this number, and all before it of the same kind, would survive power loss. */
  | { kind: "durable"; write: number }
  /** `deadlineMs` has come. */
  | { kind: "wake" }
  /** A snapshot that was asked for has arrived whole; `op` is the last one in it. */
  | { kind: "snapshotReady"; op: number }
  | { kind: "snapshotFailed" }
  /** The disk takes writes again, or none for now. */
  | { kind: "disk"; isWritable: boolean }
  /** Leave the primary's place, because the process is about to stop. */
  | { kind: "resign" };

export type ReplicaAction =
  | { kind: "send"; to: number; message: PeerMessage }
  /** Make durable, then report `durable`. Journal writes and promises are two orders, each kept. */
  | { kind: "journal"; write: number; record: JournalRecord }
  | { kind: "promise"; write: number; promises: Promises }
  /**
   * Replace service and journal by the snapshot that was fetched and these entries, in one step: `logView` as in
   * "install".
   */
  | { kind: "adopt"; write: number; snapshotOp: number; logView: number; entries: Entry[] }
  /** Committed: hand them to the service, in order. `isPrimary`: its clients wait for the replies. */
  | { kind: "apply"; entries: Entry[]; isPrimary: boolean }
  | { kind: "readReady"; id: number }
  /** Not the primary, or no longer: the client must ask another replica. */
  | { kind: "readRefused"; id: number }
  /** Requests taken and not committed may be lost: their clients are to be told to ask again elsewhere. */
  | { kind: "dropRequests" }
  | { kind: "fetchSnapshot"; from: number }
  | { kind: "abandonSnapshot" }
  /** For people: something happened that an operator may want to know. */
  | { kind: "note"; level: "info" | "warn"; text: string };

/** What a replica is, for `/readyz`, the stats and those who look for the primary. */
export interface ReplicaStatus {
  /**
   * `blank`: it does not know yet whether the group exists. `recovering`: a member whose disk was lost. `viewChange`: no
   * primary is known, or it is fetching what it missed.
   */
  phase: "blank" | "recovering" | "normal" | "viewChange";
  view: number;
  primary: number;
  isPrimary: boolean;
  op: number;
  commit: number;
  durableOp: number;
  /** What it waits for, a short sentence; undefined when all is well. */
  trouble: string | undefined;
}

/** Sizes and times. `settings.ts` has what is usual. */
export interface ReplicaSettings {
  replica: number;
  replicas: number;
  heartbeatMs: number;
  /** A backup that hears nothing for a random time between these asks for another view. */
  electionMinMs: number;
  electionMaxMs: number;
  /** For so long after a heartbeat its receiver helps no other replica to become primary. Less than `electionMinMs`. */
  leaseMs: number;
  /** What two clocks may differ by in `leaseMs`, as a part of it. */
  leaseMargin: number;
  /** Unanswered messages are sent again after this. */
  retryMs: number;
  /** Entries on their way at once; requests that come meanwhile gather in the next one. */
  pipelineMax: number;
  /** Payload of one entry. */
  entryBytesMax: number;
  /** Requests in one entry. */
  entryRequestsMax: number;
  /** Requests that wait for an entry; further ones are refused. */
  waitingBytesMax: number;
  /** Payload of one message that carries entries. */
  transferBytesMax: number;
  /** Entries kept in memory behind the snapshot for replicas that missed them. */
  retainEntriesMax: number;
  retainBytesMax: number;
  /** The same, of what is behind a snapshot that another replica is fetching: else it would have to fetch the next one, and so on. */
  heldBytesMax: number;
}

/** More than half, whatever n is: two quorums always share a replica. */
export function quorumOf(replicas: number): number {
  return Math.floor(replicas / 2) + 1;
}
