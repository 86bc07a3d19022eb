/** What the event loop asks of the threads (scan.thread.ts). Messages only; buffers are moved, not copied. */
import type { BuiltDatabase, DatabaseSpec } from "./build-database.ts";

/** Queries of one pass over a database: for each partition the queries of every client behind each other. */
export interface AnswerJob {
  kind: "answer";
  path: string;
  partitions: number;
  rows: number;
  rowBytes: number;
  /** Partition by partition, in each partition client by client: `queriesPerPartition · rows` bytes a partition. */
  queries: Uint8Array<ArrayBuffer>;
  queriesPerPartition: number;
  /** Over shared memory; its first element becomes 1 when nobody waits for the answers any more. */
  cancel: Int32Array;
}

export interface BuildJob {
  kind: "build";
  spec: DatabaseSpec;
  /** Records in the order of their arrival, in pieces of any length, over shared memory (so they are not copied). */
  chunks: Uint8Array[];
}

/** The file is gone or will go: its memory can be given back. */
export interface ForgetJob {
  kind: "forget";
  path: string;
}

export type Job = AnswerJob | BuildJob | ForgetJob;

export interface AnswerReply {
  /** In the order of the queries; undefined when the job was cancelled. */
  answers: Uint8Array<ArrayBuffer> | undefined;
}

export type BuildReply = BuiltDatabase;
