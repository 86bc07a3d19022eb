/**
 * Lines at the end of a terminal that change in place: one for each of several things that go on at the same time,
 * with how long each has been at what it does. Where nobody looks, each change is a line of its own.
 *
 * Invariant: never more lines than the terminal has, so that what is above them is never drawn over.
 */
import { durationText } from "./duration-text.ts";
import type { Clock, Timer } from "./seams/clock.ts";
import type { Output } from "./verb.ts";

const REDRAW_MS = 1000;
/** Of a terminal that does not tell. */
const ROWS = 24;
const COLUMNS = 80;
/** Left for the title, the line that says how many are not shown, and the cursor. */
const ROWS_SPARE = 3;
const TIME_WIDTH = 6;

interface Line {
  phase: string;
  detail: string;
  /** When the phase began. */
  sinceMs: number;
  /** Counts changes, to know which lines are the newest. */
  changed: number;
}

export class LiveLines {
  readonly #output: Output;
  readonly #clock: Clock;
  readonly #lines = new Map<string, Line>();
  #title: { text: string; sinceMs: number } | undefined;
  #changes = 0;
  #drawnRows = 0;
  #ticks: Timer | undefined;

  constructor(output: Output, clock: Clock) {
    this.#output = output;
    this.#clock = clock;
  }

  /** What all lines are about from here on. The one before stays above, with how long it took; its lines go. */
  title(text: string): void {
    this.#endTitle();
    if (!this.#output.isTty) return this.#output.write(`${text}\n`);
    this.#title = { text, sinceMs: this.#clock.monotonicMs() };
    this.#draw();
  }

  /** What `key` is at; a detail may change without the time beginning anew. */
  set(key: string, phase: string, detail = ""): void {
    const known = this.#lines.get(key);
    if (known?.phase === phase && known.detail === detail) return;
    const sinceMs = known?.phase === phase ? known.sinceMs : this.#clock.monotonicMs();
    this.#lines.set(key, { phase, detail, sinceMs, changed: ++this.#changes });
    if (this.#output.isTty) this.#draw();
    else this.#output.write(`${key}: ${wordsOf(phase, detail)}\n`);
  }

  /** A line that stays, above those that change. */
  say(text: string): void {
    this.#erase();
    this.#output.write(`${text}\n`);
    if (this.#output.isTty) this.#draw();
  }

  /** Takes the lines away. They may be used again. */
  end(): void {
    this.#endTitle();
    this.#erase();
    this.#lines.clear();
    this.#ticks?.cancel();
    this.#ticks = undefined;
  }

  #endTitle(): void {
    const title = this.#title;
    this.#title = undefined;
    if (title === undefined) return;
    this.#lines.clear();
    this.say(`${title.text}  ${this.#timeSince(title.sinceMs)}`);
  }

  #draw(): void {
    const rows = this.#rows();
    const up = this.#drawnRows > 0 ? `\u001b[${this.#drawnRows}A` : "";
    this.#output.write(`${up}${rows.map((row) => `${row}\u001b[K\n`).join("")}\u001b[J`);
    this.#drawnRows = rows.length;
    this.#ticks ??= this.#clock.every(REDRAW_MS, () => this.#draw());
  }

  #rows(): string[] {
    const columns = (this.#output.columns ?? COLUMNS) - 1;
    const roomFor = Math.max(1, (this.#output.rows ?? ROWS) - ROWS_SPARE);
    const newest = [...this.#lines.values()].toSorted((a, b) => b.changed - a.changed).slice(0, roomFor);
    const shown = [...this.#lines].filter(([, line]) => newest.includes(line));
    const hidden = this.#lines.size - shown.length;
    const title = this.#title;
    return [
      ...(title === undefined ? [] : [`${title.text}  ${this.#timeSince(title.sinceMs)}`]),
      ...shown.map(
        ([key, { phase, detail, sinceMs }]) =>
          `  ${key}: ${this.#timeSince(sinceMs).padStart(TIME_WIDTH)}  ${wordsOf(phase, detail)}`,
      ),
      ...(hidden === 0 ? [] : [`  and ${hidden} more`]),
    ].map((row) => Bun.sliceAnsi(row, 0, columns));
  }

  #timeSince(sinceMs: number): string {
    return durationText((this.#clock.monotonicMs() - sinceMs) / 1000);
  }

  #erase(): void {
    if (this.#drawnRows > 0) this.#output.write(`\u001b[${this.#drawnRows}A\u001b[J`);
    this.#drawnRows = 0;
  }
}

/** On one line, whatever hosts say. */
function wordsOf(phase: string, detail: string): string {
  const words = detail === "" ? phase : `${phase}: ${detail}`;
  return words.replace(/[\x00-\x1a\x1c-\x1f\x7f]+/g, " ");
}
