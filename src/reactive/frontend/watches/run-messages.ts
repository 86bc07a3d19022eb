/**
 * What a run tells a client, and the message that carries it.
 *
 * Invariant: values are written once per key and moment (snapshot-reader.ts) and copied from there; those who watch the same key
 * under the same number, and have seen the same, get the same bytes.
 */
import { serverCodes, writeRunHead } from "../../client-wire/from-frontend.ts";
import { ByteWriter } from "../../wire/bytes.ts";
import type { Reading } from "./snapshot-reader.ts";
import type { Due, Watch } from "./watch.ts";

/** A run as it is told. */
export interface WrittenRun {
  head: Parameters<typeof writeRunHead>[1];
  /** What was read, of which `values` are told. */
  readings: readonly Reading[];
  values: readonly Reading[];
}

function isSameRun(one: WrittenRun, other: WrittenRun): boolean {
  const [a, b] = [one.head, other.head];
  const isSameHead =
    a.watch === b.watch && a.since === b.since && a.cause === b.cause && a.changes === b.changes;
  return isSameHead && one.readings === other.readings;
}

function encodeRuns(at: number, written: readonly WrittenRun[]): Uint8Array {
  const bytes = written.reduce((sum, { values }) => sum + bytesOf(values), 64 * written.length);
  const writer = new ByteWriter(bytes).u8(serverCodes.runs).u64(at).u32(written.length);
  for (const { head, values } of written) {
    writeRunHead(writer, head);
    writer.u32(values.length);
    for (const { encoded } of values) writer.raw(encoded);
  }
  return writer.done();
}

/** Undefined: nothing that it read has changed. */
export function runToSend(
  watch: Watch,
  { since, cause, changes }: Due,
  readings: readonly Reading[],
): WrittenRun | undefined {
  const head = { watch: watch.id, since, cause, changes };
  const isForgotten = readings.some(({ horizon }) => horizon > since);
  if (cause !== "changed" || isForgotten)
    return { head: cause === "changed" ? { ...head, cause: "refetch" } : head, readings, values: readings };
  const values = readings.filter(({ start }) => start > since);
  if (values.length === 0 && watch.prefixes.length === 0) return undefined;
  // It went along and nobody has told of its change yet.
  return { head: { ...head, changes: Math.max(1, changes) }, readings, values };
}

export class RunMessages {
  /** The last message of one run. */
  #last: { at: number; run: WrittenRun; message: Uint8Array } | undefined;

  encode(at: number, written: readonly WrittenRun[]): Uint8Array {
    const [run] = written;
    if (run === undefined || written.length > 1) return encodeRuns(at, written);
    if (this.#last !== undefined && this.#last.at === at && isSameRun(this.#last.run, run))
      return this.#last.message;
    const message = encodeRuns(at, written);
    this.#last = { at, run, message };
    return message;
  }
}

const bytesOf = (values: readonly Reading[]) =>
  values.reduce((sum, { encoded }) => sum + encoded.byteLength, 0);
