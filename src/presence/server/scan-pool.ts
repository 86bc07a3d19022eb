/**
 * The threads that scan databases, and who shares a scan.
 *
 * A request waits only while all threads are busy; when one becomes free it takes every waiting request for the same
 * database at once, up to a limit, because one pass over the table can answer many. Invariant: a request gets its own
 * answers, or an error, or nothing when its client is gone; a scan that nobody waits for any more is stopped. The event
 * loop only copies queries and answers.
 */
import { NxError } from "../../core/errors.ts";
import { ThreadCalls } from "../../core/threads/thread-calls.ts";
import { rowBytes, type Layout } from "../protocol/layout.ts";
import type { AnswerReply, BuildJob, BuildReply, Job } from "./jobs.ts";

const THREAD = "presence/server/scan.thread.ts";

/** A database file and its shape. */
export interface ScanTarget {
  path: string;
  layout: Layout;
}

interface Waiting {
  target: ScanTarget;
  queries: Uint8Array;
  /** Queries for each partition. */
  count: number;
  isGone: boolean;
  resolve(answers: Uint8Array): void;
  reject(error: Error): void;
}

interface Running {
  requests: Waiting[];
  cancel: Int32Array;
}

export interface ScanPoolOptions {
  threads: number;
  /** Requests that may wait; a further one is refused. */
  waitingMax: number;
  /** Bytes of answers that one pass may produce. */
  answerBytesMax: number;
}

export class ScanPool {
  readonly #options: ScanPoolOptions;
  readonly #threads: ThreadCalls<Job, unknown>[];
  readonly #idle: ThreadCalls<Job, unknown>[];
  readonly #waiting: Waiting[] = [];
  readonly #running = new Set<Running>();
  /** Builds run beside the scans, in a thread of their own. */
  #builder: ThreadCalls<Job, unknown> | undefined;
  #isClosed = false;
  readonly figures = { scans: 0, requests: 0, cancelled: 0, refused: 0 };

  constructor(options: ScanPoolOptions) {
    this.#options = options;
    this.#threads = Array.from({ length: options.threads }, () => new ThreadCalls<Job, unknown>(THREAD));
    this.#idle = [...this.#threads];
  }

  get waiting(): number {
    return this.#waiting.length;
  }

  /** Answers to `count` queries for each partition (partition by partition). Throws NX_NOT_READY when too many wait. */
  answer(
    target: ScanTarget,
    queries: Uint8Array,
    count: number,
    signal?: AbortSignal,
  ): Promise<Uint8Array | undefined> {
    if (this.#isClosed || this.#waiting.length >= this.#options.waitingMax) {
      this.figures.refused += 1;
      return Promise.reject(new NxError("NX_NOT_READY", "too many lookups wait"));
    }
    if (signal?.aborted === true) return Promise.resolve(undefined);
    const { promise, resolve, reject } = Promise.withResolvers<Uint8Array | undefined>();
    const request: Waiting = { target, queries, count, isGone: false, resolve, reject };
    const onGone = () => {
      request.isGone = true;
      resolve(undefined);
      this.#dropGone();
    };
    signal?.addEventListener("abort", onGone, { once: true });
    this.#waiting.push(request);
    this.figures.requests += 1;
    this.#startScans();
    return promise.finally(() => signal?.removeEventListener("abort", onGone));
  }

  async build(job: Omit<BuildJob, "kind">): Promise<BuildReply> {
    this.#builder ??= new ThreadCalls<Job, unknown>(THREAD);
    return (await this.#builder.call({ kind: "build", ...job })) as BuildReply;
  }

  /** The file is no longer used. */
  forget(path: string): void {
    if (this.#isClosed) return;
    for (const thread of this.#threads) thread.call({ kind: "forget", path }).catch(() => undefined);
  }

  close(): void {
    this.#isClosed = true;
    for (const { reject } of this.#waiting.splice(0)) reject(new NxError("NX_NOT_READY", "the server stops"));
    for (const thread of this.#threads) thread.close();
    this.#builder?.close();
  }

  #dropGone(): void {
    for (let index = this.#waiting.length - 1; index >= 0; index--)
      if (this.#waiting[index]?.isGone === true) this.#waiting.splice(index, 1);
    for (const { requests, cancel } of this.#running) {
      if (!requests.every(({ isGone }) => isGone) || cancel[0] === 1) continue;
      Atomics.store(cancel, 0, 1);
      this.figures.cancelled += 1;
    }
  }

  #startScans(): void {
    while (this.#idle.length > 0 && this.#waiting.length > 0) {
      const thread = this.#idle.pop() as ThreadCalls<Job, unknown>;
      const requests = this.#takeBatch();
      void this.#scan(thread, requests).finally(() => {
        this.#idle.push(thread);
        if (!this.#isClosed) this.#startScans();
      });
    }
  }

  /** The oldest request, and those for the same database that fit into the same pass. */
  #takeBatch(): Waiting[] {
    const first = this.#waiting.shift() as Waiting;
    const { target } = first;
    const batch = [first];
    const answerBytes = (count: number) => count * target.layout.partitions * rowBytes(target.layout);
    let bytes = answerBytes(first.count);
    for (let index = 0; index < this.#waiting.length;) {
      const other = this.#waiting[index] as Waiting;
      const fits = bytes + answerBytes(other.count) <= this.#options.answerBytesMax;
      if (other.target.path === target.path && fits) {
        bytes += answerBytes(other.count);
        batch.push(other);
        this.#waiting.splice(index, 1);
      } else index += 1;
    }
    return batch;
  }

  async #scan(thread: ThreadCalls<Job, unknown>, requests: Waiting[]): Promise<void> {
    const { target } = requests[0] as Waiting;
    const { partitions, rows } = target.layout;
    const stride = rowBytes(target.layout);
    const total = requests.reduce((sum, { count }) => sum + count, 0);
    const running: Running = { requests, cancel: new Int32Array(new SharedArrayBuffer(4)) };
    this.#running.add(running);
    this.figures.scans += 1;
    try {
      const queries = gather(requests, partitions, total * rows, rows);
      const { cancel } = running;
      const job = { path: target.path, partitions, rows, rowBytes: stride, queries, cancel };
      const reply = await thread.call({ kind: "answer", ...job, queriesPerPartition: total }, [
        queries.buffer,
      ]);
      const { answers } = reply as AnswerReply;
      if (answers !== undefined) scatter(requests, partitions, total * stride, stride, answers);
    } catch (error) {
      for (const { reject } of requests) reject(error as Error);
    } finally {
      this.#running.delete(running);
    }
  }
}

/** All clients' queries, partition by partition; `span` is the length of one partition's queries. */
function gather(
  requests: Waiting[],
  partitions: number,
  span: number,
  rows: number,
): Uint8Array<ArrayBuffer> {
  const all = new Uint8Array(partitions * span);
  let offset = 0;
  for (const { queries, count } of requests) {
    const own = count * rows;
    for (let partition = 0; partition < partitions; partition++)
      all.set(queries.subarray(partition * own, (partition + 1) * own), partition * span + offset);
    offset += own;
  }
  return all;
}

/** Gives each client its answers; `span` is the length of one partition's answers. */
function scatter(
  requests: Waiting[],
  partitions: number,
  span: number,
  stride: number,
  answers: Uint8Array,
): void {
  let offset = 0;
  for (const { count, resolve } of requests) {
    const own = count * stride;
    const part = new Uint8Array(partitions * own);
    for (let partition = 0; partition < partitions; partition++) {
      const from = partition * span + offset;
      part.set(answers.subarray(from, from + own), partition * own);
    }
    resolve(part);
    offset += own;
  }
}
