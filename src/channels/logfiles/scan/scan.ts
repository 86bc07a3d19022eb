/**
 * A scan: the sources of a channel merged into one ordered stream, filtered, in the form that a reader wants.
 *
 * Invariant: the source with the lowest bucket is stepped, of equal ones the oldest, and only up to the others' next
 * bucket; so records come in ascending bucket and inside a bucket in the order of writing. Damage, and an expression
 * that takes too many steps, end the scan with an error; nothing damaged is handed out.
 */
import { NxError } from "../../../core/errors.ts";
import type { Disk } from "../../../core/seams/disk.ts";
import { Matcher, Output, PatternError, scanStep } from "../../../native/logfiles/scan.ts";
import { type BucketAppends, BucketsSource } from "../classic/source.ts";
import type { ScanFigures, ScanRequest, SourceSpec } from "./request.ts";
import { MemtableSource, SegmentSource, type Source } from "./source.ts";

/** Pages looked at between two chances to give a scan up. */
const PAGES_PER_TURN = 16;

/** Where scans run: the disk, and what is appended to bucket files meanwhile. */
export interface ScanPlace {
  disk: Disk;
  appends: BucketAppends;
}

function open({ disk, appends }: ScanPlace, spec: SourceSpec, { low, high }: ScanRequest): Source {
  switch (spec.kind) {
    case "memtable":
      return new MemtableSource(spec, low, high);
    case "segment":
      return new SegmentSource(disk, spec, low, high);
    case "buckets":
      return new BucketsSource(disk, appends, spec, low, high);
  }
}

/** The highest bucket that `chosen` may hand out before another source has its turn. */
function bucketLimit(sources: readonly Source[], chosen: number): number {
  let limit = Number.MAX_SAFE_INTEGER;
  for (const [index, { bucket }] of sources.entries()) {
    if (index === chosen || bucket === Number.POSITIVE_INFINITY) continue;
    limit = Math.min(limit, index < chosen ? bucket - 1 : bucket);
  }
  return limit;
}

function lowest(sources: readonly Source[]): number {
  let chosen = -1;
  let bucket = Number.POSITIVE_INFINITY;
  for (const [index, source] of sources.entries()) {
    if (source.bucket < bucket) {
      bucket = source.bucket;
      chosen = index;
    }
  }
  return chosen;
}

const tooExpensive = () =>
  new NxError("NX_INPUT_INVALID", "the expression takes too many steps on a record of this channel", {
    hint: "avoid nested repetitions such as (a+)+; begin with literal text where that is possible",
  });

/** An answer in pieces. Who asked must `close` it, whether it was read to its end or not. */
export interface Pieces {
  /**
   * The next piece, the caller's; undefined at the end. Empty pieces only say that the scan is alive. Throws
   * NX_INPUT_INVALID for a pattern that cannot be used, NX_DATA_CORRUPT and NX_DISK_FAILED.
   */
  next(): Promise<Uint8Array | undefined>;
  /** At the end. */
  readonly figures: ScanFigures;
  close(): Promise<void>;
}

export class Scan implements Pieces {
  readonly #request: ScanRequest;
  readonly #sources: Source[];
  readonly #lastBucket: number;
  readonly #output: Output;
  #matcher: Matcher | undefined;
  #isEnded = false;

  /** Begins at once: from now on the sources are as they are. */
  constructor(place: ScanPlace, request: ScanRequest) {
    const { low, high, sources } = request;
    this.#request = request;
    this.#lastBucket = Number(high >> 12n);
    this.#output = new Output(request.output, request.batchBytes);
    this.#sources = low > high ? [] : sources.map((spec) => open(place, spec, request));
  }

  async next(): Promise<Uint8Array | undefined> {
    if (this.#isEnded) return undefined;
    this.#matcher ??= makeMatcher(this.#request);
    const { buffer } = this.#output;
    for (let pages = 0; pages < PAGES_PER_TURN;) {
      const chosen = lowest(this.#sources);
      const source = this.#sources[chosen];
      if (source === undefined || source.bucket > this.#lastBucket) {
        this.#isEnded = true;
        this.#output.finish(true);
        return buffer.take();
      }
      if (source.isLoaded) {
        this.#step(source, bucketLimit(this.#sources, chosen), this.#matcher);
        if (!this.#output.isFull) continue;
        this.#output.finish(false);
        return buffer.take();
      }
      await source.load();
      pages += 1;
    }
    return new Uint8Array(0);
  }

  #step(source: Source, limit: number, matcher: Matcher): void {
    const end = scanStep(source.page, this.#request, limit, matcher, this.#output);
    if (end === "limit") throw tooExpensive();
    if (end === "end") source.exhausted();
    else source.bucket = source.page.bucket;
  }

  get figures(): ScanFigures {
    return this.#output.figures;
  }

  async close(): Promise<void> {
    this.#isEnded = true;
    this.#matcher?.free();
    this.#output.free();
    for (const source of this.#sources) await source.close();
  }
}

/** Hands each piece that is not empty to `use`, then closes the scan; returns its figures. */
export async function readPieces(pieces: Pieces, use: (piece: Uint8Array) => unknown): Promise<ScanFigures> {
  try {
    for (let piece = await pieces.next(); piece !== undefined; piece = await pieces.next())
      if (piece.byteLength > 0) await use(piece);
    return pieces.figures;
  } finally {
    await pieces.close();
  }
}

function makeMatcher({ filter }: ScanRequest): Matcher {
  try {
    return new Matcher(filter);
  } catch (error) {
    if (!(error instanceof PatternError)) throw error;
    throw new NxError("NX_INPUT_INVALID", `the expression cannot be used: ${error.message}`, {
      cause: error,
    });
  }
}
