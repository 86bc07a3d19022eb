/**
 * Judges what a sink wrote: a file of frames, read from its first byte to its last.
 *
 * Invariant: a torn frame at the end, a record that cannot be read and a violated rule are all verdicts, never silence.
 */
import { textOf, WireError } from "../wire/bytes.ts";
import { FRAME_HEADER_BYTES, FrameReader } from "../wire/frame.ts";
import { SequenceJudge, type SequenceRules, type Violation } from "./sequence.ts";
import { parseWindow } from "./window-text.ts";

export interface Verdict {
  isValid: boolean;
  records: number;
  keys: number;
  /** The lowest last value of all keys. */
  reached: number;
  rewinds: number;
  /** The first one. */
  violation: Violation | null;
}

/** Bytes of one output, in order. */
export interface OutputPart {
  source: string;
  chunks: AsyncIterable<Uint8Array>;
}

const BODY_BYTES_MAX = 1024 * 1024;

/** Judges the parts one behind the other, as if they were one. */
export async function verifyParts(parts: Iterable<OutputPart>, rules: SequenceRules): Promise<Verdict> {
  const judge = new SequenceJudge(rules);
  let violation: Violation | undefined;
  for (const part of parts) {
    violation = await judgePart(judge, part);
    if (violation !== undefined) break;
  }
  return verdictOf(judge, violation ?? judge.end());
}

export function verdictOf(judge: SequenceJudge, violation: Violation | undefined): Verdict {
  const { records, keys, reached, rewinds } = judge;
  return { isValid: violation === undefined, records, keys, reached, rewinds, violation: violation ?? null };
}

/** Goes on judging with one more part; undefined: nothing is wrong so far. */
export async function judgePart(
  judge: SequenceJudge,
  { source, chunks }: OutputPart,
): Promise<Violation | undefined> {
  const reader = new FrameReader(() => BODY_BYTES_MAX);
  let violation: Violation | undefined;
  let offset = 0;
  const fault = (error: unknown): Violation => {
    if (!(error instanceof WireError)) throw error;
    return { rule: "record", text: error.message, place: { source, offset } };
  };
  for await (const chunk of chunks) {
    try {
      reader.feed(chunk, (bytes, start, end) => {
        try {
          violation = judge.judge(parseWindow(textOf(bytes.subarray(start, end))), { source, offset });
        } catch (error) {
          violation = fault(error);
        }
        offset += FRAME_HEADER_BYTES + end - start;
        return violation === undefined;
      });
    } catch (error) {
      return fault(error);
    }
    if (violation !== undefined) return violation;
  }
  if (reader.waitingBytes === 0) return undefined;
  return { rule: "record", text: "the last record is torn", place: { source, offset } };
}
