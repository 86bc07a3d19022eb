/**
 * The C merge of diffs (native/blocks/merge.h), with the reading of the inputs left to its owner.
 *
 * Invariant: the memory that `NX_MERGE_NEED` points to is C's and stays where it is until `filled` is called.
 */
import { type Pointer, toArrayBuffer } from "bun:ffi";
import { NativeBuffer } from "./buffer.ts";
import { linked } from "./library.ts";

const symbols = {
  nx_merge_new: { args: ["u32", "u32", "u32", "u32", "u32", "u64", "u64"], returns: "ptr" },
  nx_merge_free: { args: ["ptr"], returns: "void" },
  nx_merge_sorted: { args: ["ptr", "u32", "u64"], returns: "void" },
  nx_merge_indexed: { args: ["ptr", "u32", "u64", "u64", "u64"], returns: "void" },
  nx_merge_state_of: { args: ["ptr"], returns: "ptr" },
  nx_merge_out: { args: ["ptr"], returns: "ptr" },
  nx_merge_runs: { args: ["ptr"], returns: "ptr" },
  nx_merge_step: { args: ["ptr"], returns: "u32" },
  nx_merge_filled: { args: ["ptr", "u64"], returns: "void" },
} as const;

const library = linked(symbols);

/** Positions of nx_merge_state's words. */
const S = {
  input: 0,
  offset: 1,
  length: 2,
  minimum: 3,
  address: 4,
  counts: 5,
  out: 12,
  endBlocks: 19,
  count: 20,
} as const;

const steps = ["end", "need", "ready", "damaged"] as const;
export type MergeStep = (typeof steps)[number];

export interface DiffCounts {
  normal: number;
  zero: number;
  discard: number;
  normalBlocks: number;
  zeroBlocks: number;
  discardBlocks: number;
  /** Stored bytes of the records; decoded ones where runs come out. */
  dataBytes: number;
}

export interface MergeOptions {
  /** Sorted packs, or runs of an image. */
  form: "packs" | "runs";
  inputs: number;
  /** Of packs, by its number. */
  codec: number;
  level: number;
  /** Longer records are split; 0 leaves them. */
  blocksMax: number;
  /** Hand out when this much is ready; 0 hands out each pack by itself. */
  readyBytes: number;
  /** Memory for each input. */
  windowBytes: number;
}

export class DiffMerge {
  readonly #merge: Pointer;
  readonly #words: BigUint64Array;
  /** Packs, or the bytes of the runs; good until the next step. */
  readonly out: NativeBuffer;
  readonly runs: NativeBuffer;

  constructor({ form, inputs, codec, level, blocksMax, readyBytes, windowBytes }: MergeOptions) {
    const {
      nx_merge_new: create,
      nx_merge_state_of: state,
      nx_merge_out: out,
      nx_merge_runs: runs,
    } = library();
    const number = form === "packs" ? 0 : 1;
    this.#merge = create(number, inputs, codec, level, blocksMax, readyBytes, windowBytes) as Pointer;
    this.#words = new BigUint64Array(toArrayBuffer(state(this.#merge) as Pointer, 0, S.count * 8));
    this.out = new NativeBuffer(out(this.#merge) as Pointer);
    this.runs = new NativeBuffer(runs(this.#merge) as Pointer);
  }

  addSorted(input: number, fileBytes: number): void {
    library().nx_merge_sorted(this.#merge, input, fileBytes);
  }

  addIndexed(input: number, fileBytes: number, indexOffset: number, records: number): void {
    library().nx_merge_indexed(this.#merge, input, fileBytes, indexOffset, records);
  }

  step(): MergeStep {
    return steps[library().nx_merge_step(this.#merge)] as MergeStep;
  }

  /** After "need": `target` wants the bytes at `offset` of `input`, the first `minimum` of them at least. */
  get need(): { input: number; offset: number; minimum: number; target: Uint8Array } {
    const address = Number(this.#words[S.address]) as Pointer;
    return {
      input: Number(this.#words[S.input]),
      offset: Number(this.#words[S.offset]),
      minimum: Number(this.#words[S.minimum]),
      target: new Uint8Array(toArrayBuffer(address, 0, Number(this.#words[S.length]))),
    };
  }

  filled(bytes: number): void {
    library().nx_merge_filled(this.#merge, bytes);
  }

  /** After "damaged": which input, and where in its file. */
  get damage(): { input: number; offset: number } {
    return { input: Number(this.#words[S.input]), offset: Number(this.#words[S.offset]) };
  }

  #countsAt(word: number): DiffCounts {
    const at = (index: number) => Number(this.#words[word + index]);
    return {
      normal: at(0),
      zero: at(1),
      discard: at(2),
      normalBlocks: at(3),
      zeroBlocks: at(4),
      discardBlocks: at(5),
      dataBytes: at(6),
    };
  }

  get inCounts(): DiffCounts {
    return this.#countsAt(S.counts);
  }

  get outCounts(): DiffCounts {
    return this.#countsAt(S.out);
  }

  /** Behind the last block that came out. */
  get endBlocks(): number {
    return Number(this.#words[S.endBlocks]);
  }

  free(): void {
    library().nx_merge_free(this.#merge);
  }
}
