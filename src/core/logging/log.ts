/**
 * What an instance says: leveled lines with a logger's name, to any number of sinks.
 *
 * Text lines have the originals' format (swarm.md 10.2), so that log tools of operators keep working:
 *
 *   2026-11-22 08:00:59,359 Info [dht.store] - loaded 4 channels records=99357
 *
 * Invariant: logging never throws into a role, never lets a remote string forge a line (control characters are
 * escaped) and never writes a line of unbounded length. A crash can cut the last line; each line is written with
 * one call.
 */
import type { Clock } from "../seams/clock.ts";

export const logLevels = ["trace", "info", "warn", "error", "fatal"] as const;
export type LogLevel = (typeof logLevels)[number];
export type LogFields = Record<string, unknown>;

export interface Log {
  trace(message: string, fields?: LogFields): void;
  info(message: string, fields?: LogFields): void;
  warn(message: string, fields?: LogFields): void;
  error(message: string, fields?: LogFields): void;
  fatal(message: string, fields?: LogFields): void;
  /** A logger whose lines carry `name` appended (`dht.store`). */
  child(name: string): Log;
}

export interface LogRecord {
  timeMs: number;
  level: LogLevel;
  logger: string;
  message: string;
  fields: LogFields | undefined;
}

/** Takes complete lines without line end. Must not throw. */
export interface LogSink {
  write(line: string): void;
}

export interface LogTarget {
  sink: LogSink;
  format(record: LogRecord): string;
}

/** Where a logger's lines go; shared by all its children, changed by a reload. */
export interface LogOutput {
  level: LogLevel;
  targets: LogTarget[];
  /** Lines written per level, for stats.log and metrics. */
  counts: Record<LogLevel, number>;
  /** Lines that a sink or a format failed on. */
  failed: number;
}

export function logOutput(level: LogLevel, targets: LogTarget[]): LogOutput {
  return { level, targets, counts: { trace: 0, info: 0, warn: 0, error: 0, fatal: 0 }, failed: 0 };
}

export function createLog(clock: Clock, name: string, output: LogOutput): Log {
  const emit = (level: LogLevel, message: string, fields?: LogFields) => {
    if (logLevels.indexOf(level) < logLevels.indexOf(output.level)) return;
    output.counts[level]++;
    const record = { timeMs: clock.nowMs(), level, logger: name, message, fields };
    for (const target of output.targets) {
      try {
        target.sink.write(target.format(record));
      } catch {
        output.failed++;
      }
    }
  };
  return {
    trace: (message, fields) => emit("trace", message, fields),
    info: (message, fields) => emit("info", message, fields),
    warn: (message, fields) => emit("warn", message, fields),
    error: (message, fields) => emit("error", message, fields),
    fatal: (message, fields) => emit("fatal", message, fields),
    child: (child) => createLog(clock, `${name}.${child}`, output),
  };
}

/** A log that says nothing, for tools and tests. */
export function silentLog(): Log {
  const ignore = () => {};
  const log: Log = {
    trace: ignore,
    info: ignore,
    warn: ignore,
    error: ignore,
    fatal: ignore,
    child: () => log,
  };
  return log;
}

/** Longer lines are cut: what a client sends may end up in one. */
const LINE_LENGTH_MAX = 16 * 1024;

/** Control characters, line separators, and the marks that make a terminal show text in another order than it is in. */
const INVISIBLE = /[\u0000-\u001f\u007f-\u009f\u200e\u200f\u2028-\u202e\u2066-\u2069]/g;

/** Keeps a line a line: control characters (and the terminal's escape) become visible. */
export function escapeControls(text: string): string {
  return text.replace(INVISIBLE, (character) => {
    const code = character.charCodeAt(0);
    if (character === "\n") return "\\n";
    if (character === "\t") return "\\t";
    return code < 256 ? `\\x${code.toString(16).padStart(2, "0")}` : `\\u${code.toString(16)}`;
  });
}

const pad = (value: number, width: number) => String(value).padStart(width, "0");

/** `2026-11-22 08:00:59,359` in local time. */
export function logTimestamp(timeMs: number): string {
  const date = new Date(timeMs);
  const day = `${date.getFullYear()}-${pad(date.getMonth() + 1, 2)}-${pad(date.getDate(), 2)}`;
  const time = `${pad(date.getHours(), 2)}:${pad(date.getMinutes(), 2)}:${pad(date.getSeconds(), 2)}`;
  return `${day} ${time},${pad(date.getMilliseconds(), 3)}`;
}

function bounded(text: string): string {
  return text.length <= LINE_LENGTH_MAX
    ? text
    : `${text.slice(0, LINE_LENGTH_MAX)}... (${text.length} characters)`;
}

/** What JSON cannot say (a cycle, a bigint) becomes text instead of an exception. */
function toJson(value: unknown): string {
  try {
    return (
      JSON.stringify(value, (_key, inner: unknown) => (typeof inner === "bigint" ? String(inner) : inner)) ??
      "undefined"
    );
  } catch {
    return JSON.stringify(String(value));
  }
}

function fieldText(value: unknown): string {
  if (value instanceof Error) return toJson(value.message);
  if (typeof value === "string") return /^[\w./:@+-]+$/.test(value) ? value : toJson(value);
  return toJson(value);
}

export function formatText({ timeMs, level, logger, message, fields }: LogRecord): string {
  const word = level.charAt(0).toUpperCase() + level.slice(1);
  let text = message;
  for (const [key, value] of Object.entries(fields ?? {})) text += ` ${key}=${fieldText(value)}`;
  return `${logTimestamp(timeMs)} ${word} [${logger}] - ${escapeControls(bounded(text))}`;
}

/** One JSON object per line, for the journal; `PRIORITY`-like levels stay words. */
export function formatJson({ timeMs, level, logger, message, fields }: LogRecord): string {
  const plain = Object.fromEntries(
    Object.entries(fields ?? {}).map(([key, value]) => [key, value instanceof Error ? value.message : value]),
  );
  // The record's own members come last: a field cannot replace them.
  const text = toJson({
    ...plain,
    time: new Date(timeMs).toISOString(),
    level,
    logger,
    message: bounded(message),
  });
  if (text.length <= 2 * LINE_LENGTH_MAX) return text;
  return toJson({
    time: new Date(timeMs).toISOString(),
    level,
    logger,
    message: bounded(message),
    fields: "too long",
  });
}
