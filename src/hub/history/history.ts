/**
 * What the graphs are drawn from: figures of every instance over time, fine for a quarter of an hour, then coarser.
 *
 * Invariant: memory and disk are bounded whatever runs for however long; reading and writing never throw: when the file fails
 * while the hub runs, it is put aside, said so once, and recording goes on in a fresh one.
 */
import { errnoOf } from "../../core/errors.ts";
import type { Clock } from "../../core/seams/clock.ts";
import type { Disk } from "../../core/seams/disk.ts";
import type { Log } from "../../core/logging/log.ts";
import type { Happening, Line } from "../messages.ts";
import { HistoryDatabase, isDamage } from "./database.ts";
import { levelReaching, levelsFor, type Level } from "./levels.ts";
import { LIVE_POINTS, LivePoints } from "./live.ts";
import { RowReader, type Row, type Sample } from "./row.ts";

export interface HistoryOptions {
  clock: Clock;
  disk: Disk;
  log: Log;
  /** Of the database file. */
  path: string;
  days: number;
  bytesMax: number;
}

/** Values by instance, then by figure. */
export type Values = ReadonlyMap<string, ReadonlyMap<string, number>>;

export const SERIES_MAX = 20_000;
const POINTS_MAX = 1500;
const LOOSE_NUMBER_MIN = 2 ** 31;
const TIDY_MS = 60_000;
/** A full disk is tried again after this. */
const RETRY_MS = 30_000;

/** What gathers until a step of a level is over. */
class Gathering {
  stepStartMs = Number.NEGATIVE_INFINITY;
  readonly #sums = new Map<number, { sum: number; count: number; max: number }>();

  add(row: Row): void {
    for (const [number, { mean, max }] of row) {
      const known = this.#sums.get(number);
      if (known === undefined) this.#sums.set(number, { sum: mean, count: 1, max });
      else {
        known.sum += mean;
        known.count += 1;
        known.max = Math.max(known.max, max);
      }
    }
  }

  get(number: number): Sample | undefined {
    const found = this.#sums.get(number);
    return found && { mean: found.sum / found.count, max: found.max };
  }

  take(): Row {
    const row: Row = new Map([...this.#sums.keys()].map((number) => [number, this.get(number) as Sample]));
    this.#sums.clear();
    return row;
  }
}

export class History {
  readonly #options: HistoryOptions;
  readonly #levels: Level[];
  readonly #live = new LivePoints();
  #gatherings: Gathering[];
  #database: HistoryDatabase | undefined;
  #numbers = new Map<string, number>();
  #tidiedAtMs = Number.NEGATIVE_INFINITY;
  #silentUntilMs = Number.NEGATIVE_INFINITY;
  #fed = new Set<number>();
  #isClosed = false;
  #isOpening = false;
  /** Of series while there is no file; no number of a file is as large. */
  #looseNumber = LOOSE_NUMBER_MIN;

  private constructor(options: HistoryOptions) {
    this.#options = options;
    this.#levels = levelsFor(options.days);
    this.#gatherings = this.#levels.map(() => new Gathering());
  }

  static async open(options: HistoryOptions): Promise<History> {
    const history = new History(options);
    await history.#openDatabase();
    return history;
  }

  /** Leaves the hub without a file when there can be none; `record` tries again. */
  async #openDatabase(): Promise<void> {
    const { path } = this.#options;
    try {
      this.#database = HistoryDatabase.open(path);
    } catch (error) {
      if (!isDamage(error)) return this.#warn(error as Error);
      await this.#putAside((error as Error).message);
      this.#database = HistoryDatabase.open(path);
    }
    this.#numbers = new Map(
      this.#database.series().map(({ number, instance, figure }) => [keyOf(instance, figure), number]),
    );
    this.#catchUp(this.#database);
  }

  /** Opens the file again after a while without one. */
  #reopen(): void {
    const nowMs = this.#options.clock.monotonicMs();
    if (this.#database !== undefined || this.#isOpening || nowMs < this.#silentUntilMs) return;
    this.#isOpening = true;
    this.#openDatabase()
      .catch((error: Error) => this.#warn(error))
      .finally(() => (this.#isOpening = false));
  }

  /** At most once in a while. */
  #warn(error: Error): void {
    const { clock, log, path } = this.#options;
    const nowMs = clock.monotonicMs();
    if (nowMs < this.#silentUntilMs) return;
    this.#silentUntilMs = nowMs + RETRY_MS;
    log.warn(`the history of the graphs is not written: ${error.message}`, { file: path });
  }

  /** The damaged file stays for whoever wants to look at it; only the newest one does. */
  async #putAside(reason: string): Promise<void> {
    const { disk, path, log } = this.#options;
    const aside = `${path}.damaged`;
    log.error(`the history of the graphs cannot be read and is begun anew: ${reason}`, {
      code: "NX_DATA_CORRUPT",
      file: path,
      keptAs: aside,
    });
    for (const suffix of ["-wal", "-shm"])
      await disk.remove(path + suffix).catch((error: unknown) => {
        if (errnoOf(error) !== "ENOENT") throw error;
      });
    if (await disk.exists(path)) await disk.rename(path, aside);
  }

  /** Coarser rows that were being gathered when the hub stopped are gathered again from the finer ones. */
  #catchUp(database: HistoryDatabase): void {
    // The coarsest first: what the others finish on the way comes to it later, in the order of time.
    for (let index = this.#levels.length - 1; index > 0; index--) {
      const { id, stepMs } = this.#levels[index] as Level;
      const finer = this.#levels[index - 1] as Level;
      const newest = database.newest(id);
      const sinceMs = newest === undefined ? 0 : newest + stepMs;
      for (const { at, bytes } of database.rows(finer.id, sinceMs, Number.MAX_SAFE_INTEGER)) {
        const reader = RowReader.of(bytes);
        if (reader !== undefined) this.#feed(index, at, wholeRow(reader));
      }
    }
  }

  /** Records one moment. */
  record(atMs: number, values: Values): void {
    const row: Row = new Map();
    this.#reopen();
    this.#guard(() => {
      for (const [instance, figures] of values)
        for (const [figure, value] of figures) {
          const number = this.#numberOf(instance, figure, atMs);
          if (number !== undefined) row.set(number, { mean: value, max: value });
        }
      for (const number of row.keys()) this.#fed.add(number);
      this.#live.add(atMs, row);
      this.#feed(0, atMs, row);
      if (atMs - this.#tidiedAtMs >= TIDY_MS) this.#tidy(atMs);
    });
  }

  #numberOf(instance: string, figure: string, atMs: number): number | undefined {
    const key = keyOf(instance, figure);
    const known = this.#numbers.get(key);
    if (known !== undefined || this.#numbers.size >= SERIES_MAX) return known;
    const number = this.#database?.addSeries(instance, figure, atMs) ?? this.#looseNumber++;
    this.#numbers.set(key, number);
    return number;
  }

  #feed(index: number, atMs: number, row: Row): void {
    const level = this.#levels[index];
    const gathering = this.#gatherings[index];
    if (level === undefined || gathering === undefined) return;
    const stepStartMs = Math.floor(atMs / level.stepMs) * level.stepMs;
    if (stepStartMs !== gathering.stepStartMs) {
      const finished = gathering.take();
      const finishedMs = gathering.stepStartMs;
      gathering.stepStartMs = stepStartMs;
      if (finished.size > 0) {
        this.#database?.write(level.id, finishedMs, finished);
        this.#feed(index + 1, finishedMs, finished);
      }
    }
    gathering.add(row);
  }

  #tidy(atMs: number): void {
    this.#tidiedAtMs = atMs;
    this.#live.forgetSilent();
    const database = this.#database;
    if (database === undefined) return;
    for (const { id, keptMs } of this.#levels) database.forgetRows(id, atMs - keptMs);
    const longestMs = Math.max(...this.#levels.map(({ keptMs }) => keptMs));
    database.touchSeries([...this.#fed], atMs, atMs - longestMs);
    this.#fed.clear();
    for (let level = 0; level < this.#levels.length && database.bytes > this.#options.bytesMax; level++)
      database.forgetOldest(level);
  }

  /** Runs what uses the database; its failure costs the rows, and is said once. */
  #guard<Result>(work: () => Result): Result | undefined {
    // Answers to the last round may come after the end; that is no damage.
    if (this.#isClosed) return undefined;
    try {
      return work();
    } catch (error) {
      this.#failed(error as Error);
      return undefined;
    }
  }

  #failed(error: Error): void {
    if (!isDamage(error)) return this.#warn(error);
    const broken = this.#database;
    this.#database = undefined;
    this.#numbers.clear();
    this.#gatherings = this.#levels.map(() => new Gathering());
    try {
      broken?.close();
    } catch {
      // It is given up either way.
    }
    this.#isOpening = true;
    this.#putAside(error.message)
      .then(() => this.#openDatabase())
      .catch((failure: Error) => this.#warn(failure))
      .finally(() => (this.#isOpening = false));
  }

  addHappening(happening: Happening): void {
    this.#guard(() => this.#database?.addHappening(happening));
  }

  happenings(sinceMs: number, countMax: number): Happening[] {
    return this.#guard(() => this.#database?.happenings(sinceMs, countMax)) ?? [];
  }

  get bytes(): number {
    return this.#guard(() => this.#database?.bytes) ?? 0;
  }

  /** A figure of an instance between two moments: as fine as the time allows, at most a good thousand points. */
  read(instance: string, figure: string, fromMs: number, toMs: number): Line {
    const number = this.#numbers.get(keyOf(instance, figure));
    if (number === undefined) return emptyLine();
    const nowMs = this.#options.clock.nowMs();
    const liveFromMs = this.#live.oldestMs ?? Number.POSITIVE_INFINITY;
    const isShort = toMs - fromMs <= LIVE_POINTS * 1100;
    const line = emptyLine();
    if (!isShort || liveFromMs > fromMs) {
      const level = levelReaching(this.#levels, fromMs, nowMs, POINTS_MAX);
      const untilMs = isShort ? Math.min(toMs, liveFromMs - level.stepMs) : toMs;
      this.#guard(() => this.#readLevel(line, level, number, fromMs, untilMs));
    }
    if (isShort)
      for (const [atMs, value] of this.#live.read(number, fromMs, toMs)) push(line, atMs, value, value);
    return line;
  }

  #readLevel(line: Line, level: Level, number: number, fromMs: number, toMs: number): void {
    let beforeMs: number | undefined;
    const put = (atMs: number, sample: Sample | undefined) => {
      if (sample === undefined) return;
      // Two steps without a row are a time when nobody recorded: the line is broken there.
      if (beforeMs !== undefined && atMs - beforeMs > 2.5 * level.stepMs)
        push(line, beforeMs + level.stepMs, null, null);
      push(line, atMs, sample.mean, sample.max);
      beforeMs = atMs;
    };
    for (const { at, bytes } of this.#database?.rows(level.id, fromMs, toMs) ?? [])
      put(at, RowReader.of(bytes)?.get(number));
    const gathering = this.#gatherings[level.id] as Gathering;
    if (gathering.stepStartMs >= fromMs && gathering.stepStartMs <= toMs)
      put(gathering.stepStartMs, gathering.get(number));
  }

  /** What is being gathered is written, so that a restart loses nothing. */
  close(): void {
    this.#guard(() => {
      this.#levels.forEach(({ id }, index) => {
        const gathering = this.#gatherings[index] as Gathering;
        const row = gathering.take();
        if (index === 0 && row.size > 0) this.#database?.write(id, gathering.stepStartMs, row);
      });
      this.#database?.close();
    });
    this.#isClosed = true;
  }
}

function keyOf(instance: string, figure: string): string {
  return `${instance}\n${figure}`;
}

function emptyLine(): Line {
  return { atMs: [], mean: [], max: [] };
}

function push(line: Line, atMs: number, mean: number | null, max: number | null): void {
  line.atMs.push(Math.round(atMs));
  line.mean.push(rounded(mean));
  line.max.push(rounded(max));
}

/** Four digits are enough for a graph and half as long on the wire. */
function rounded(value: number | null): number | null {
  return value === null ? null : Number(value.toPrecision(5));
}

function wholeRow(reader: RowReader): Row {
  const row: Row = new Map();
  for (let index = 0; index < reader.count; index++) row.set(reader.numberAt(index), reader.sampleAt(index));
  return row;
}
