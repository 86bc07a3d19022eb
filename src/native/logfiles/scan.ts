/**
 * Filters, outputs and the step of a scan (native/logfiles/{match,output,scan}.h).
 *
 * Invariant: each object owns its memory in C and must be freed; views are good until the object's next call.
 */
import type { Pointer } from "bun:ffi";
import { addressable } from "../addressable.ts";
import { NativeBuffer } from "../buffer.ts";
import type { Page } from "./pages.ts";
import { logfilesLibrary } from "./symbols.ts";

/** The order of native/logfiles/match.h. */
export const matchModes = ["all", "substring", "regex", "regexIgnoringCase"] as const;
export type MatchMode = (typeof matchModes)[number];

export interface Filter {
  mode: MatchMode;
  /** Bytes: a substring, or a PCRE2 expression. */
  pattern: Uint8Array;
}

/** The reason why a pattern cannot be used. */
export class PatternError extends Error {}

export class Matcher {
  readonly pointer: Pointer;

  /** Throws PatternError. */
  constructor({ mode, pattern }: Filter) {
    const library = logfilesLibrary();
    const reason = library.nx_ffi_buffer_new() as Pointer;
    try {
      const { byteLength } = pattern;
      const { nx_ffi_matcher_new: make } = library;
      const made = make(matchModes.indexOf(mode), addressable(pattern), BigInt(byteLength), reason);
      if (made === null)
        throw new PatternError(Buffer.from(new NativeBuffer(reason).take()).toString("latin1"));
      this.pointer = made as Pointer;
    } finally {
      library.nx_ffi_buffer_free(reason);
    }
  }

  free(): void {
    logfilesLibrary().nx_ffi_matcher_free(this.pointer);
  }
}

/** The order of native/logfiles/output.h. */
export const outputKinds = ["legacy", "neo", "lines", "pages", "keys"] as const;
export type OutputKind = (typeof outputKinds)[number];

export class Output {
  readonly pointer: Pointer;
  readonly buffer: NativeBuffer;

  /** `batchBytes`: content of a legacy batch, or size of a page. */
  constructor(kind: OutputKind, batchBytes: number) {
    const library = logfilesLibrary();
    this.pointer = library.nx_ffi_output_new(outputKinds.indexOf(kind), BigInt(batchBytes)) as Pointer;
    this.buffer = new NativeBuffer(library.nx_ffi_output_buffer(this.pointer) as Pointer);
  }

  get isFull(): boolean {
    return logfilesLibrary().nx_ffi_output_is_full(this.pointer);
  }

  /** Moves what is gathered to `buffer`; with `isLast` also what ends an answer. */
  finish(isLast: boolean): void {
    logfilesLibrary().nx_ffi_output_finish(this.pointer, isLast);
  }

  /** Records handed out, and those among them that no batch holds. */
  get figures(): { records: number; skipped: number } {
    const figures = new Float64Array(2);
    logfilesLibrary().nx_ffi_output_read(this.pointer, figures);
    return { records: figures[0] as number, skipped: figures[1] as number };
  }

  free(): void {
    logfilesLibrary().nx_ffi_output_free(this.pointer);
  }
}

/** What a step ended with; the order of native/logfiles/scan.h. */
export const stepEnds = ["end", "next", "full", "limit"] as const;
export type StepEnd = (typeof stepEnds)[number];

/** Hands the page's wanted records of keys `low` to `high` to the output, up to bucket `bucketMax`. */
export function scanStep(
  page: Page,
  range: { low: bigint; high: bigint },
  bucketMax: number,
  matcher: Matcher,
  output: Output,
): StepEnd {
  const { nx_ffi_scan_step: step } = logfilesLibrary();
  const end = step(page.pointer, range.low, range.high, BigInt(bucketMax), matcher.pointer, output.pointer);
  return stepEnds[end] as StepEnd;
}
