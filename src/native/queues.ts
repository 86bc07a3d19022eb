/**
 * The queues in C (native/queue/queue.h) as a TypeScript object: what a node needs beside the protocol engines, which
 * work on them directly.
 *
 * Invariant: C keeps no address of a JavaScript array, and nothing is called after `close`. A crash loses everything in
 * memory; what was acknowledged comes back by replaying the effects that were made durable.
 */
import { FFIType, type Pointer } from "bun:ffi";
import { assert } from "../core/errors.ts";
import { addressable } from "./addressable.ts";
import { NativeBuffer } from "./buffer.ts";
import { linked } from "./library.ts";
import { MalformedEffects } from "./record-store.ts";

const name = ["ptr", "u64"] as const;

/** The functions of native/queue/ffi.c and of the buffer that they share with the record store. */
const symbols = {
  nx_ffi_buffer_new: { args: [], returns: "ptr" },
  nx_ffi_buffer_free: { args: ["ptr"], returns: "void" },
  nx_queues_new: { args: ["ptr", "ptr"], returns: "ptr" },
  nx_queues_free: { args: ["ptr"], returns: "void" },
  nx_queues_configure: { args: ["ptr", "ptr"], returns: "void" },
  nx_queues_prefix: { args: ["ptr", ...name, "u64"], returns: "void" },
  nx_queues_bury_after: { args: ["ptr", "u64", ...name], returns: "void" },
  nx_queues_overflow: { args: ["ptr", "i32", "u64"], returns: "void" },
  nx_queues_logging: { args: ["ptr", "bool"], returns: "void" },
  nx_queues_effects_buffer: { args: ["ptr"], returns: "ptr" },
  nx_queues_apply: { args: ["ptr", "ptr", "u64", "ptr"], returns: FFIType.i64_fast },
  nx_queues_export_start: { args: ["ptr"], returns: "void" },
  nx_queues_export_step: { args: ["ptr", "u64", "ptr"], returns: "bool" },
  nx_queues_export_stop: { args: ["ptr"], returns: "void" },
  nx_queues_housekeeping: { args: ["ptr"], returns: "void" },
  nx_queues_figures: { args: ["ptr", "ptr"], returns: "void" },
  nx_queues_describe: { args: ["ptr", "ptr", "bool"], returns: "void" },
  nx_queues_push: { args: ["ptr", ...name, "ptr", "u64"], returns: "i32" },
  nx_queues_pop: { args: ["ptr", ...name, "ptr"], returns: "u32" },
  nx_queues_subscribe: { args: ["ptr", ...name, "ptr", "u64"], returns: "u32" },
  nx_queues_save: { args: ["ptr", ...name, "ptr"], returns: "bool" },
  nx_queues_forget_counts: { args: ["ptr"], returns: "void" },
  nx_queues_load: { args: ["ptr", ...name, "ptr", "u64"], returns: "i32" },
  nx_queues_remove: { args: ["ptr", ...name], returns: "bool" },
} as const;

const native = linked(symbols);

export interface QueuesSettings {
  /** A channel's ring: records with 8 bytes each. */
  channelBytes: number;
  /** All channels together; 0: no limit. */
  sizeBytesMax: number;
  /** A full channel lets go of its oldest records instead of refusing. */
  dropsOldest: boolean;
  /** Channels at once; 0: no limit. */
  channelsMax: number;
  /** Entries pending in one group; 0: no limit. */
  pendingMax: number;
}

export interface QueueFigures {
  channels: number;
  records: number;
  entries: number;
  usedBytes: number;
  memoryBytes: number;
  /** Since the start, as all that follow. */
  pushed: number;
  popped: number;
  refused: number;
  dropped: number;
  pushedBytes: number;
  poppedBytes: number;
}

export interface QueueChannel {
  /** Of a subscriber's storage: `<subscriber>@<channel>`. */
  name: string;
  isStorage: boolean;
  kind: "list" | "stream";
  records: number;
  usedBytes: number;
  /** Ring and overflow together. */
  capacityBytes: number;
  /** Since they were last asked for and forgotten. */
  recordsMax: number;
  usedBytesMax: number;
  /** Of those, what waits in the overflow. */
  overflowRecords: number;
  overflowBytes: number;
  ringBytes: number;
}

export const StoreOutcome = { ok: 0, full: -28, noMemory: -12, wrongKind: -22, malformed: -74 } as const;

const encoder = new TextEncoder();

function settingsArray(settings: QueuesSettings): Float64Array {
  const { channelBytes, sizeBytesMax, dropsOldest, channelsMax, pendingMax } = settings;
  return Float64Array.of(channelBytes, sizeBytesMax, dropsOldest ? 1 : 0, channelsMax, pendingMax);
}

export class Queues {
  readonly pointer: Pointer;
  /** For the engines: what is behind the pointer. */
  readonly hasQueues = true;
  readonly #native = native();
  readonly #scratch: NativeBuffer;
  readonly effects: NativeBuffer;
  #isOpen = true;

  /** `seed`: 16 secret random bytes; they key the hash. */
  constructor(settings: QueuesSettings, seed: Uint8Array) {
    assert(seed.byteLength === 16, "a seed has 16 bytes");
    this.pointer = this.#native.nx_queues_new(settingsArray(settings), seed) as Pointer;
    this.#scratch = new NativeBuffer(this.#native.nx_ffi_buffer_new() as Pointer);
    this.effects = new NativeBuffer(this.#native.nx_queues_effects_buffer(this.pointer) as Pointer);
  }

  configure(settings: QueuesSettings): void {
    this.#native.nx_queues_configure(this.pointer, settingsArray(settings));
  }

  /** Rings of channels whose name begins so. Before the first of them. */
  setSizeByPrefix(prefix: string, bytes: number): void {
    const text = encoder.encode(prefix);
    this.#native.nx_queues_prefix(this.pointer, addressable(text), text.byteLength, bytes);
  }

  /**
   * Lists that are made from here on put what their ring has no room for into the file of this descriptor, `bytes` each.
   * The file stays open until `close`.
   */
  setOverflow(descriptor: number, bytes: number): void {
    this.#native.nx_queues_overflow(this.pointer, descriptor, bytes);
  }

  /** Entries delivered so often go to the stream `<channel><suffix>` instead of once more; 0: never. */
  setDeadLetters(deliveriesMax: number, suffix: string): void {
    const text = encoder.encode(suffix);
    this.#native.nx_queues_bury_after(this.pointer, deliveriesMax, addressable(text), text.byteLength);
  }

  /** Off while effects are replayed, and where nothing keeps them. */
  setLogging(isOn: boolean): void {
    this.#native.nx_queues_logging(this.pointer, isOn);
  }

  /** Applies effects; returns how many. Throws MalformedEffects. */
  replay(effects: Uint8Array): number {
    if (effects.byteLength === 0) return 0;
    const badOffset = new BigUint64Array(new ArrayBuffer(8));
    const count = Number(this.#native.nx_queues_apply(this.pointer, effects, effects.byteLength, badOffset));
    if (count < 0) throw new MalformedEffects(Number(badOffset[0]));
    return count;
  }

  /** A snapshot in slices, one at a time; changes may come between them. */
  *exportSlices(sliceBytes = 256 * 1024): Generator<Uint8Array> {
    const out = new NativeBuffer(this.#native.nx_ffi_buffer_new() as Pointer);
    this.#native.nx_queues_export_start(this.pointer);
    try {
      for (let hasMore = true; hasMore;) {
        hasMore = this.#native.nx_queues_export_step(this.pointer, sliceBytes, out.pointer);
        if (out.length !== 0) yield out.take();
      }
    } finally {
      this.#native.nx_queues_export_stop(this.pointer);
      this.#native.nx_ffi_buffer_free(out.pointer);
    }
  }

  /** Lets go of what is empty and idle. */
  tick(): void {
    this.#native.nx_queues_housekeeping(this.pointer);
  }

  figures(): QueueFigures {
    const block = new BigUint64Array(new ArrayBuffer(11 * 8));
    this.#native.nx_queues_figures(this.pointer, block);
    const numbers = Array.from(block, Number);
    const [channels, records, entries, usedBytes, memoryBytes, pushed, popped, refused, dropped] = numbers;
    const [pushedBytes, poppedBytes] = numbers.slice(9);
    return {
      ...{ channels, records, entries, usedBytes, memoryBytes },
      ...{ pushed, popped, refused, dropped, pushedBytes, poppedBytes },
    } as QueueFigures;
  }

  /** Figures since the start begin anew: what was loaded, nobody pushed. */
  forgetCounts(): void {
    this.#native.nx_queues_forget_counts(this.pointer);
  }

  /** Every channel, in the order of creation. `forgetsPeaks`: the next call reports the peaks from now on. */
  channels(forgetsPeaks = false): QueueChannel[] {
    this.#scratch.clear();
    this.#native.nx_queues_describe(this.pointer, this.#scratch.pointer, forgetsPeaks);
    const bytes = Buffer.from(this.#scratch.take());
    const found: QueueChannel[] = [];
    for (let at = 0; at < bytes.byteLength;) {
      const length = bytes.readUInt32LE(at);
      const text = bytes.toString("latin1", at + 4, at + 4 + length);
      at += 4 + length;
      const figure = (index: number) => Number(bytes.readBigUInt64LE(at + 1 + 8 * index));
      found.push({
        name: text.replace("\0", "@"),
        isStorage: text.includes("\0"),
        kind: bytes[at] === 2 ? "stream" : "list",
        records: figure(0),
        usedBytes: figure(1),
        capacityBytes: figure(2),
        recordsMax: figure(3),
        usedBytesMax: figure(4),
        overflowRecords: figure(5),
        overflowBytes: figure(6),
        ringBytes: figure(7),
      });
      at += 65;
    }
    return found;
  }

  /** Pushes to a channel, which is made if need be and kept. Returns a StoreOutcome. */
  push(channel: string, value: Uint8Array): number {
    const text = encoder.encode(channel);
    const push = this.#native.nx_queues_push;
    return push(this.pointer, addressable(text), text.byteLength, addressable(value), value.byteLength);
  }

  /** The oldest record, taken away; undefined when there is none. */
  pop(channel: string): Uint8Array | undefined {
    const text = encoder.encode(channel);
    this.#scratch.clear();
    const { nx_queues_pop } = this.#native;
    const outcome = nx_queues_pop(this.pointer, addressable(text), text.byteLength, this.#scratch.pointer);
    return outcome === 0 ? this.#scratch.take() : undefined;
  }

  /** What is pushed to the channel goes to this subscriber too, from here on. False when that cannot be. */
  subscribe(channel: string, subscriber: string): boolean {
    const [text, who] = [encoder.encode(channel), encoder.encode(subscriber)];
    const { nx_queues_subscribe } = this.#native;
    return (
      nx_queues_subscribe(
        this.pointer,
        addressable(text),
        text.byteLength,
        addressable(who),
        who.byteLength,
      ) === 0
    );
  }

  /** The `.rq` file of a list (`<subscriber>@<channel>`: of a storage); undefined when it is none. */
  save(channel: string): Uint8Array | undefined {
    const text = encoder.encode(channel.replace("@", "\0"));
    this.#scratch.clear();
    const { nx_queues_save } = this.#native;
    const isList = nx_queues_save(this.pointer, addressable(text), text.byteLength, this.#scratch.pointer);
    return isList ? this.#scratch.take() : undefined;
  }

  /** Pushes the records of a `.rq` file. Returns a StoreOutcome. */
  load(channel: string, file: Uint8Array): number {
    const text = encoder.encode(channel.replace("@", "\0"));
    const load = this.#native.nx_queues_load;
    return load(this.pointer, addressable(text), text.byteLength, addressable(file), file.byteLength);
  }

  /** False when there is no such channel. */
  remove(channel: string): boolean {
    const text = encoder.encode(channel);
    return this.#native.nx_queues_remove(this.pointer, addressable(text), text.byteLength);
  }

  close(): void {
    if (!this.#isOpen) return;
    this.#isOpen = false;
    this.#native.nx_ffi_buffer_free(this.#scratch.pointer);
    this.#native.nx_queues_free(this.pointer);
  }
}
