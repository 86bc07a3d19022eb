/** One line on a terminal that tells how far long work is; silent where nobody looks. */
import type { Clock } from "./seams/clock.ts";
import type { TextOutput } from "./terminal.ts";

const PERIOD_MS = 200;
/** Back to the line's start, and clear what is right of the cursor. */
const LINE_START = "\r\u001b[K";

export interface ProgressLine {
  /** Shows `text` unless the last one is a moment old. */
  show(text: string): void;
  /** Takes the line away. */
  end(): void;
}

export function progressLine(output: TextOutput, clock: Clock): ProgressLine {
  if (!output.isTty) return { show: () => undefined, end: () => undefined };
  let shownAtMs = Number.NEGATIVE_INFINITY;
  return {
    show(text) {
      const nowMs = clock.monotonicMs();
      if (nowMs - shownAtMs < PERIOD_MS) return;
      shownAtMs = nowMs;
      output.write(`${LINE_START}${text}`);
    },
    end: () => output.write(LINE_START),
  };
}
