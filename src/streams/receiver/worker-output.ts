/**
 * The output of one worker at a two-phase sink: the bytes in `out.<worker>`, the promises in `out.<worker>.txnlog`.
 *
 * Invariant: a promise (vote to commit) is given only after the bytes and the promise itself are synced; what a
 * transaction committed is never cut; what no transaction promised is cut when its worker comes back, because a worker
 * that comes back may say something else. A crash loses at most bytes that nobody promised.
 */
import { join } from "node:path";
import type { World } from "../../core/role.ts";
import { WireError } from "../wire/bytes.ts";
import { OUTPUT_STREAM, type OutputRange } from "../wire/two-phase.ts";
import { AppendFile } from "../append-file.ts";
import {
  endOf,
  entryLine,
  parseTransactionLog,
  stateAfter,
  type Outcome,
  type TransactionEntry,
} from "./transaction-log.ts";

const LOG_BYTES_MAX = 256 * 1024 * 1024;

export class WorkerOutput {
  readonly #world: Pick<World, "clock">;
  readonly #file: AppendFile;
  readonly #log: AppendFile;
  #committedBytes: number;
  #pending: TransactionEntry | undefined;
  /** Why the next transaction must be refused, if it must. */
  #fault: string | undefined;

  static async open(
    world: Pick<World, "clock" | "disk">,
    directory: string,
    worker: string,
  ): Promise<WorkerOutput> {
    const path = join(directory, `out.${worker}`);
    const log = await AppendFile.open(world.disk, `${path}.txnlog`);
    if (log.bytes > LOG_BYTES_MAX) throw new WireError(`${path}.txnlog has ${log.bytes} bytes`);
    const { entries, bytes } = parseTransactionLog(Buffer.from(await log.read(0, log.bytes)).toString());
    if (bytes < log.bytes) await log.truncate(bytes);
    const { committedBytes, pending } = stateAfter(entries);
    const file = await AppendFile.open(world.disk, path);
    if (file.bytes < committedBytes)
      throw new WireError(`${path} has ${file.bytes} bytes, ${committedBytes} are committed`);
    const output = new WorkerOutput(world, file, log, committedBytes, pending);
    await output.forgetUnpromised();
    return output;
  }

  private constructor(
    world: Pick<World, "clock">,
    file: AppendFile,
    log: AppendFile,
    committedBytes: number,
    pending: TransactionEntry | undefined,
  ) {
    this.#world = world;
    this.#file = file;
    this.#log = log;
    this.#committedBytes = committedBytes;
    this.#pending = pending;
  }

  /** Bytes that are here: the offset of the next message. */
  get bytes(): number {
    return this.#file.bytes;
  }

  get committedBytes(): number {
    return this.#committedBytes;
  }

  get waitingBytes(): number {
    return this.#file.waitingBytes;
  }

  get uncommitted(): string[] {
    return this.#pending === undefined ? [] : [this.#pending.transaction];
  }

  /** Why the next transaction will be refused. */
  get fault(): string | undefined {
    return this.#fault;
  }

  /** Cuts what no transaction holds: its worker starts anew behind it. */
  async forgetUnpromised(): Promise<void> {
    const promised =
      this.#pending === undefined ? this.#committedBytes : endOf(this.#pending, this.#committedBytes);
    if (this.#file.bytes > promised) await this.#file.truncate(promised);
    this.#fault = undefined;
  }

  /** Output whose first byte has this offset. What is here already is passed over. */
  append(offset: number, bytes: Uint8Array): void {
    const known = this.bytes - offset;
    if (known < 0) this.#fault ??= `bytes ${this.bytes} to ${offset} are missing`;
    if (this.#fault === undefined && known < bytes.byteLength) this.#file.append(bytes.subarray(known));
  }

  flush(): Promise<void> {
    return this.#file.flush();
  }

  /** Phase 1: true when everything up to the ranges' end is synced and the promise is on disk. */
  async promise(transaction: string, ranges: OutputRange[]): Promise<boolean> {
    const end = endOf({ ranges }, this.#committedBytes);
    const isOurs = ranges.every(({ streamId }) => streamId === OUTPUT_STREAM);
    if (!isOurs) this.#fault ??= "a range of an unknown stream";
    if (end !== this.bytes) this.#fault ??= `the transaction ends at ${end}, ${this.bytes} bytes are here`;
    if (this.#pending !== undefined) this.#fault ??= `${this.#pending.transaction} is not settled`;
    if (this.#fault !== undefined) {
      await this.#note("1-rollback", transaction, ranges);
      return false;
    }
    await this.#file.sync();
    this.#pending = await this.#note("1-ok", transaction, ranges);
    return true;
  }

  /** Phase 2. A transaction that is not pending was settled before; nothing is done then. */
  async settle(transaction: string, isCommit: boolean): Promise<void> {
    const pending = this.#pending;
    if (pending?.transaction !== transaction) {
      if (!isCommit) await this.forgetUnpromised();
      return;
    }
    if (isCommit) {
      await this.#note("2-ok", transaction, pending.ranges);
      this.#committedBytes = endOf(pending, this.#committedBytes);
      this.#pending = undefined;
    } else {
      await this.#note("2-rollback", transaction, pending.ranges);
      this.#pending = undefined;
      await this.forgetUnpromised();
    }
  }

  async #note(outcome: Outcome, transaction: string, ranges: OutputRange[]): Promise<TransactionEntry> {
    const entry = { seconds: this.#world.clock.nowMs() / 1000, outcome, transaction, ranges };
    this.#log.append(Buffer.from(entryLine(entry)));
    await this.#log.sync();
    return entry;
  }

  async close(): Promise<void> {
    await this.#file.close();
    await this.#log.close();
  }
}
