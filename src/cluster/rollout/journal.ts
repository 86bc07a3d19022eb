/**
 * The journal of a rollout: its plan, then a line when a step begins, is done or fails.
 *
 * Invariant: a step is performed only after its `begun` was synced, and counted as done only after its `done`
 * was, so whoever reads the journal after a crash knows which steps are certain and which one may have
 * happened. Half a last line counts as not written. The journal only saves work: what is true is what the
 * hosts say, and a new plan made from that leads to the same end.
 */
import { dirname } from "node:path";
import { NxError } from "../../core/errors.ts";
import type { Clock } from "../../core/seams/clock.ts";
import type { Disk, DiskFile } from "../../core/seams/disk.ts";
import { makeDurableDirectory } from "../../core/seams/durable-files.ts";
import { linesOf } from "../json-lines.ts";
import { readWhole } from "../release/files.ts";
import type { RolloutPlan } from "./steps.ts";

const JOURNAL_BYTES_MAX = 64 << 20;

export type StepMark = "begun" | "done" | "failed";

export interface JournalRecord {
  step: number;
  mark: StepMark;
  atMs: number;
  /** Of a failure. */
  reason?: string;
}

export interface Journal {
  plan: RolloutPlan;
  records: JournalRecord[];
}

export class JournalWriter {
  readonly #file: DiskFile;
  readonly #clock: Clock;
  #size: number;
  /** Appends follow each other. */
  #last: Promise<void> = Promise.resolve();

  private constructor(file: DiskFile, clock: Clock, size: number) {
    this.#file = file;
    this.#clock = clock;
    this.#size = size;
  }

  /** Begins a journal, or goes on with the one of this plan. */
  static async open(disk: Disk, clock: Clock, path: string, plan: RolloutPlan): Promise<JournalWriter> {
    await makeDurableDirectory(disk, dirname(path));
    const size = (await linesIfAny(disk, path)).endsAt;
    const file = await disk.open(path, "create");
    await file.truncate(size);
    const writer = new JournalWriter(file, clock, size);
    if (size === 0) {
      await writer.#append({ plan });
      await disk.syncDirectory(dirname(path));
    }
    return writer;
  }

  mark(step: number, mark: StepMark, reason?: string): Promise<void> {
    const record: JournalRecord = { step, mark, atMs: this.#clock.nowMs() };
    return this.#append(reason === undefined ? record : { ...record, reason });
  }

  #append(line: object): Promise<void> {
    const bytes = new TextEncoder().encode(`${JSON.stringify(line)}\n`);
    const write = async () => {
      await this.#file.write(bytes, this.#size);
      await this.#file.sync();
      this.#size += bytes.byteLength;
    };
    return (this.#last = this.#last.then(write));
  }

  async close(): Promise<void> {
    await this.#last.catch(() => undefined);
    await this.#file.close();
  }
}

/** Undefined when there is none, or only the beginning of one that did nothing yet. */
export async function readJournal(disk: Disk, path: string): Promise<Journal | undefined> {
  const { lines } = await linesIfAny(disk, path);
  if (lines.length === 0) return undefined;
  try {
    const [first, ...rest] = lines.map((line) => JSON.parse(line) as unknown);
    return { plan: (first as { plan: RolloutPlan }).plan, records: rest as JournalRecord[] };
  } catch (error) {
    throw new NxError("NX_DATA_CORRUPT", `${path} is no journal of a rollout`, {
      hint: "remove it and deploy again: a new plan is made from what the hosts say",
      cause: error,
    });
  }
}

async function linesIfAny(disk: Disk, path: string) {
  return linesOf(
    (await disk.exists(path)) ? await readWhole(disk, path, JOURNAL_BYTES_MAX) : new Uint8Array(0),
  );
}

/** Steps that are done for certain. */
export function doneSteps({ records }: Journal): Set<number> {
  return new Set(records.filter(({ mark }) => mark === "done").map(({ step }) => step));
}
