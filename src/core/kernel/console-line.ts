/**
 * What a running instance says on standard error: log lines as text or JSON, and on a terminal the live line that is
 * redrawn in place each second.
 *
 * Invariant: writing never throws. A reader that went away costs the lines, not the service.
 */
import { fstatSync, writeSync } from "node:fs";
import type { Clock, Timer } from "../seams/clock.ts";
import { errnoOf } from "../errors.ts";
import { escapeControls, formatJson, formatText, type LogTarget } from "../logging/log.ts";

export type ConsoleMode = "line" | "json" | "text" | "off";

/** Standard error, as far as it matters here. */
export interface Terminal {
  isTty: boolean;
  /** Width in cells; undefined when unknown. */
  columns(): number | undefined;
  write(text: string): void;
}

/** Erases from the cursor to the end of the line. */
const ERASE = "\x1b[K";
const PERIOD_MS = 1000;

/** The process' standard error. What it does not take is dropped. */
export function standardError(): Terminal {
  const fd = 2;
  return {
    isTty: process.stderr.isTTY === true,
    columns: () => process.stderr.columns,
    write(text) {
      const bytes = Buffer.from(text);
      let attempts = 0;
      for (let written = 0; written < bytes.byteLength;) {
        try {
          written += writeSync(fd, bytes, written);
        } catch (error) {
          // A full pipe that does not block gets a few chances to end a line that was begun; then the rest is lost.
          if (errnoOf(error) !== "EAGAIN" || written === 0 || ++attempts > 10) return;
        }
      }
    },
  };
}

/** True when standard error is the journal: JOURNAL_STREAM names its device and inode (systemd.exec(5)). */
function isJournal(environment: Record<string, string | undefined>): boolean {
  const stream = environment.JOURNAL_STREAM;
  if (stream === undefined) return false;
  try {
    const { dev, ino } = fstatSync(2);
    return stream === `${dev}:${ino}`;
  } catch {
    return false;
  }
}

/** `auto`: JSON for the journal, the live line on a terminal, text elsewhere. */
export function consoleMode(
  wanted: ConsoleMode | "auto",
  terminal: Terminal,
  environment: Record<string, string | undefined>,
): ConsoleMode {
  if (wanted !== "auto") return wanted;
  if (isJournal(environment)) return "json";
  return terminal.isTty ? "line" : "text";
}

/** Where log lines go on the console; undefined when nowhere. */
export function consoleTarget(mode: ConsoleMode, terminal: Terminal): LogTarget | undefined {
  if (mode === "off") return undefined;
  // A log line takes the place of the live line; the next second redraws that below it.
  const prefix = mode === "line" ? `\r${ERASE}` : "";
  return {
    sink: { write: (line) => terminal.write(`${prefix}${line}\n`) },
    format: mode === "json" ? formatJson : formatText,
  };
}

/** Redraws the line each second until cancelled; what is no terminal gets it whole. */
export function drawLiveLine(clock: Clock, terminal: Terminal, line: () => string): Timer {
  return clock.every(PERIOD_MS, () => {
    // One cell stays free: a terminal wraps when its last one is written. A width of 0 means that it is not known.
    const width = (terminal.columns() || 80) - 1;
    const text = escapeControls(line());
    terminal.write(`\r${terminal.isTty ? Bun.sliceAnsi(text, 0, width) : text}${ERASE}`);
  });
}

/** Replaces the live line by a last text. */
export function endLiveLine(terminal: Terminal, text: string): void {
  terminal.write(`\r${text}${ERASE}\n`);
}
