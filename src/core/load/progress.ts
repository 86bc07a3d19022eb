/** The live line of a load run on a terminal: what was reached since the last look. Silent elsewhere. */
import type { Clock } from "../seams/clock.ts";
import type { TextOutput } from "../terminal.ts";
import type { Recorder } from "./recorder.ts";
import { thousands } from "./table.ts";

const PERIOD_MS = 500;
/** Back to the line's start, and clear what is right of the cursor. */
const LINE_START = "\r\u001b[K";

/** Shows `label` and the throughput until the returned function is called. */
export function showProgress(
  output: TextOutput,
  clock: Clock,
  label: string,
  recorder: Recorder,
): () => void {
  if (!output.isTty) return () => undefined;
  let [lastReplies, lastMs] = [0, recorder.startMs];
  const timer = clock.every(PERIOD_MS, () => {
    const nowMs = clock.monotonicMs();
    const perSecond = ((recorder.replies - lastReplies) * 1000) / Math.max(1, nowMs - lastMs);
    [lastReplies, lastMs] = [recorder.replies, nowMs];
    const errors = recorder.errors.size === 0 ? "" : `, ${thousands(recorder.errorsTotal)} errors`;
    const seconds = Math.round((nowMs - recorder.startMs) / 1000);
    output.write(`${LINE_START}${label}: ${seconds} s, ${thousands(perSecond)} requests/s${errors}`);
  });
  return () => {
    timer.cancel();
    output.write(LINE_START);
  };
}
