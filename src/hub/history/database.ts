/**
 * The file that keeps the graphs: `<dataDir>/history.sqlite`.
 *
 *   series(number, instance, figure, seen)  a number for each line of a graph
 *   row(level, at, bytes)                   every series at a moment (row.ts), at a level of detail (levels.ts)
 *   happening(at, instance, kind, text)     what happened to instances: restarts, silences
 *
 * Invariant: graphs are worth less than a hub that runs. A file that is damaged, of another version or not ours is put aside
 * with a clear error and a fresh one is begun; a full disk costs rows, never the hub. Rows are small and in a write-ahead log
 * without a sync each: a crash of the process loses nothing that was recorded, power loss at most the newest rows.
 */
import { Database, SQLiteError, type Statement } from "bun:sqlite";
import type { Happening } from "../messages.ts";
import { encodeRow, type Row } from "./row.ts";

const APPLICATION = 0x6e785f68; // nx_h
const VERSION = 1;
export const HAPPENINGS_MAX = 5000;

const schema = `
  create table series (number integer primary key, instance text not null, figure text not null, seen integer not null,
    unique (instance, figure));
  create table row (level integer not null, at integer not null, bytes blob not null, primary key (level, at)) without rowid;
  create table happening (number integer primary key, at integer not null, instance text not null, kind text not null, text text not null);
`;

/** Why a file cannot be used. */
export class HistoryDamaged extends Error {}

/** What SQLite says of a disk that is full, away or somebody else's for a moment: the file may be as good as ever. */
const passing = /^SQLITE_(FULL|READONLY|BUSY|LOCKED|IOERR|CANTOPEN|PERM|NOMEM|INTERRUPT)/;

/** True for a failure that says that the file is damaged; others pass, or are defects of ours. */
export function isDamage(error: unknown): boolean {
  if (error instanceof HistoryDamaged) return true;
  return error instanceof SQLiteError && !passing.test(error.code ?? "");
}

interface SeriesRecord {
  number: number;
  instance: string;
  figure: string;
}

export class HistoryDatabase {
  readonly #database: Database;
  readonly #insertRow: Statement;
  readonly #selectRows: Statement;
  readonly path: string;

  private constructor(path: string, database: Database) {
    this.path = path;
    this.#database = database;
    this.#insertRow = database.query("insert or replace into row (level, at, bytes) values (?, ?, ?)");
    this.#selectRows = database.query(
      "select at, bytes from row where level = ? and at >= ? and at <= ? order by at",
    );
  }

  /** Throws what `isDamage` says of when the file is there and cannot be trusted. */
  static open(path: string): HistoryDatabase {
    let database: Database | undefined;
    try {
      database = new Database(path, { create: true });
      database.run("pragma journal_mode = wal");
      database.run("pragma synchronous = normal");
      const pragma = (name: string) =>
        Object.values(database?.query(`pragma ${name}`).get() as Record<string, unknown>)[0];
      const tables = (
        database.query("select count(*) as count from sqlite_master").get() as { count: number }
      ).count;
      if (tables === 0) {
        database.run(`pragma application_id = ${APPLICATION}`);
        database.run(`pragma user_version = ${VERSION}`);
        database.transaction(() => database?.run(schema))();
      }
      if (pragma("application_id") !== APPLICATION || pragma("user_version") !== VERSION)
        throw new HistoryDamaged("it is not a history of this version");
      const verdict = pragma("quick_check(1)");
      if (verdict !== "ok") throw new HistoryDamaged(String(verdict));
      return new HistoryDatabase(path, database);
    } catch (error) {
      database?.close();
      throw error;
    }
  }

  series(): SeriesRecord[] {
    return this.#database.query("select number, instance, figure from series").all() as SeriesRecord[];
  }

  addSeries(instance: string, figure: string, atMs: number): number {
    const result = this.#database
      .query("insert into series (instance, figure, seen) values (?, ?, ?)")
      .run(instance, figure, atMs);
    return Number(result.lastInsertRowid);
  }

  write(level: number, atMs: number, row: Row): void {
    this.#insertRow.run(level, atMs, encodeRow(row));
  }

  rows(level: number, fromMs: number, toMs: number): { at: number; bytes: Uint8Array }[] {
    return this.#selectRows.all(level, fromMs, toMs) as { at: number; bytes: Uint8Array }[];
  }

  newest(level: number): number | undefined {
    const found = this.#database.query("select max(at) as at from row where level = ?").get(level);
    return (found as { at: number | null }).at ?? undefined;
  }

  forgetRows(level: number, beforeMs: number): void {
    this.#database.query("delete from row where level = ? and at < ?").run(level, beforeMs);
  }

  /** Series that nobody fed since then; their numbers are not used again. */
  touchSeries(numbers: readonly number[], atMs: number, forgetBeforeMs: number): void {
    this.#database.transaction(() => {
      const touch = this.#database.query("update series set seen = ? where number = ?");
      for (const number of numbers) touch.run(atMs, number);
      this.#database.query("delete from series where seen < ?").run(forgetBeforeMs);
    })();
  }

  addHappening({ atMs, instance, kind, text }: Happening): void {
    const { lastInsertRowid } = this.#database
      .query("insert into happening (at, instance, kind, text) values (?, ?, ?, ?)")
      .run(atMs, instance, kind, text);
    this.#database
      .query("delete from happening where number <= ?")
      .run(Number(lastInsertRowid) - HAPPENINGS_MAX);
  }

  /** The newest first. */
  happenings(sinceMs: number, countMax: number): Happening[] {
    return this.#database
      .query(
        "select at as atMs, instance, kind, text from happening where at >= ? order by number desc limit ?",
      )
      .all(sinceMs, countMax) as Happening[];
  }

  /** Bytes of pages in use. */
  get bytes(): number {
    const read = (name: string) =>
      Number(Object.values(this.#database.query(`pragma ${name}`).get() as Record<string, number>)[0]);
    return (read("page_count") - read("freelist_count")) * read("page_size");
  }

  /** Drops the oldest quarter of a level. */
  forgetOldest(level: number): void {
    const { count } = this.#database
      .query("select count(*) as count from row where level = ?")
      .get(level) as {
      count: number;
    };
    this.#database
      .query(
        "delete from row where level = ?1 and at in (select at from row where level = ?1 order by at limit ?2)",
      )
      .run(level, Math.ceil(count / 4));
  }

  close(): void {
    this.#database.close();
  }
}
