/**
 * The engine: a plan turned into plain function calls, one record at a time, depth first, on one thread.
 *
 * A record goes through all its steps before the next one is touched, so a decoder may use one object for all records. At
 * an exchange the record goes on here if this worker owns its key, else its bytes go to the owner.
 *
 * Invariant: records of one key that came over one input are processed in their order. The engine keeps nothing between
 * two records but the stores, the windows' watermarks and the times of its inputs; a checkpoint (checkpoint/) taken
 * between two records has therefore all of it.
 */
import type { Codec, Out } from "../api/contract.ts";
import { recordJson, stateJson } from "../api/codecs.ts";
import type {
  EventTimeNode,
  ExchangeNode,
  GeneratorNode,
  Node,
  SourceNode,
  StateNode,
  WindowNode,
} from "../plan/nodes.ts";
import { type Plan, rawSourceOf } from "../plan/plan.ts";
import { StateStore } from "../state/store.ts";
import { type Meter, Meters } from "./meters.ts";
import { checkedKey, checkedTime, initOf, ofPlain, shown } from "./author-checks.ts";
import { FrameCursor } from "./frame-cursor.ts";
import { RecordWriter } from "./record-writer.ts";
import { copyOf } from "../wire/bytes.ts";
import { writeRecord } from "./splitter.ts";
import { Watermarks } from "./watermarks.ts";
import { noWindows } from "./windows.ts";
import { WindowStep } from "./window-step.ts";

type Push = (value: unknown, key: string) => void;

/** Why a record was not processed. */
export type BadRecord = "decode" | "step";

/** What is around an engine: the other workers, the sinks, the dead letters. */
export interface EngineHost {
  /** The number of the worker that owns a key, or `self`. */
  readonly self: number;
  ownerOf(key: string): number;
  /** A record for another worker. `write` writes its bytes. */
  send(
    owner: number,
    exchange: number,
    key: string,
    timeMs: number,
    write: (out: RecordWriter) => void,
  ): void;
  /** Records that stay here go through their codec as if to another worker: in tests, where there is none. */
  readonly isStrict?: boolean;
  /** Where the records of a sink are written, with their framing. */
  sinkWriter(sink: string): RecordWriter;
  /** Monotonic; absent: nothing is measured. */
  monotonicMs?(): number;
  /** A record that cannot be processed, with its bytes. Throwing stops the worker. */
  onBadRecord(reason: BadRecord, source: string, bytes: Uint8Array, error: unknown): void;
}

const NOTHING: Push = () => {};
const encoder = new TextEncoder();

export class Engine {
  readonly plan: Plan;
  readonly frame = new FrameCursor();
  /** By the name of the step. */
  readonly stores = new Map<string, StateStore>();
  readonly windows = new Map<string, WindowStep>();
  readonly watermarks: Watermarks;
  readonly meters: Meters;
  /** Records taken from sources, and those given to sinks. */
  recordsIn = 0;
  recordsOut = 0;
  readonly host: EngineHost;
  /** Of the record that is being processed. */
  #timeMs = 0;
  readonly #push: Push[] = [];
  readonly #afterExchange: Push[] = [];
  readonly #exchangeCodecs: Codec<unknown>[] = [];

  constructor(plan: Plan, host: EngineHost) {
    this.plan = plan;
    this.host = host;
    this.watermarks = new Watermarks(plan);
    this.meters = new Meters(() => host.monotonicMs?.() ?? 0);
    for (const node of plan.states) this.#addStore(node);
    for (const node of plan.nodes.toReversed()) this.#push[node.id] = this.#compile(node);
  }

  #addStore(node: StateNode | WindowNode): void {
    const codec = node.kind === "state" ? (node.options.codec ?? stateJson) : stateJson;
    const init = node.kind === "state" ? initOf(node) : noWindows;
    this.stores.set(node.name, new StateStore(node.name, { init, codec }, new FrameCursor()));
  }

  /** How many keys there are, by step. */
  get keyCounts(): Record<string, number> {
    return Object.fromEntries([...this.stores].map(([name, { size }]) => [name, size]));
  }

  // --- input -------------------------------------------------------------------------------------------------------

  /** Raw bytes of one record of a source; `timeMs` is when it arrived. */
  feed(source: SourceNode, bytes: Uint8Array, start: number, end: number, timeMs: number): void {
    this.recordsIn += 1;
    this.#timeMs = timeMs;
    this.meters.begin();
    let reason: BadRecord = "decode";
    try {
      const value = source.decode(this.frame.set(bytes, start, end));
      reason = "step";
      if (value !== undefined) (this.#push[source.id] as Push)(value, "");
    } catch (error) {
      this.host.onBadRecord(reason, source.name, bytes.subarray(start, end), error);
    }
  }

  /** A value of a source that was never bytes (a generator, a test). */
  feedValue(source: SourceNode | GeneratorNode, value: unknown, timeMs: number): void {
    this.recordsIn += 1;
    this.#timeMs = timeMs;
    this.meters.begin();
    try {
      (this.#push[source.id] as Push)(value, "");
    } catch (error) {
      this.host.onBadRecord("step", source.name, encoder.encode(shown(value)), error);
    }
  }

  /** A record that another worker sent here because this one owns its key. */
  receive(
    exchange: number,
    key: string,
    timeMs: number,
    bytes: Uint8Array,
    start: number,
    end: number,
  ): void {
    this.#timeMs = timeMs;
    this.meters.begin();
    const codec = this.#exchangeCodecs[exchange] as Codec<unknown>;
    try {
      (this.#afterExchange[exchange] as Push)(codec.decode(this.frame.set(bytes, start, end)), key);
    } catch (error) {
      this.host.onBadRecord("step", `exchange ${exchange}`, bytes.subarray(start, end), error);
    }
  }

  /** Fires the windows that the present watermarks make due. */
  fireWindows(nowMs: number): void {
    if (this.windows.size === 0) return;
    this.watermarks.update(nowMs);
    for (const node of this.plan.states) {
      const step = this.windows.get(node.name);
      step?.advance(this.watermarks.of(node));
      step?.flushWhenIdle(nowMs);
    }
  }

  // --- steps -------------------------------------------------------------------------------------------------------

  #compile(node: Node): Push {
    const push = this.#compileStep(node);
    if (this.host.monotonicMs === undefined) return push;
    const name = stepName(node, this.plan);
    return name === undefined ? push : this.meters.measured(this.meters.add("step", name, node.id), push);
  }

  #compileStep(node: Node): Push {
    const next = this.#fan(node);
    switch (node.kind) {
      case "source":
      case "generator":
        this.meters.add("source", node.name, node.id);
        return next;
      case "branch":
      case "merge":
      case "late":
        return next;
      case "map": {
        const step = node.step as (value: unknown) => unknown;
        return (value) => next(ofPlain(step(value), "map"), "");
      }
      case "filter": {
        const isWanted = node.step as (value: unknown) => boolean;
        return (value) => {
          if (ofPlain(isWanted(value), "filter")) next(value, "");
        };
      }
      case "flatMap": {
        const step = node.step as (value: unknown, out: Out<unknown>) => unknown;
        const out = outOf(next);
        return (value) => void ofPlain(step(value, out), "flatMap");
      }
      case "split":
        return this.#compileSplit(node);
      case "eventTime":
        return this.#compileEventTime(node, next);
      case "exchange":
        return this.#compileExchange(node, next);
      case "state":
        return this.#compileState(node, next);
      case "window":
        return this.#compileWindow(node);
      case "sink": {
        const { name, framing, encode } = node;
        const meter: Meter = this.meters.add("sink", name, node.id);
        return (value) => {
          this.recordsOut += 1;
          meter.records += 1;
          writeRecord(this.host.sinkWriter(name), framing, (out) => encode(value, out));
        };
      }
    }
  }

  /** Calls every consumer; consumers have larger numbers, so they are compiled already. */
  #fan(node: Node, wants: (consumer: Node) => boolean = () => true): Push {
    const pushes = (this.plan.consumers[node.id] as readonly Node[])
      .filter(wants)
      .map(({ id }) => this.#push[id] as Push);
    const [only] = pushes;
    if (only === undefined) return NOTHING;
    if (pushes.length === 1) return only;
    return (value, key) => {
      for (const push of pushes) push(value, key);
    };
  }

  #compileSplit(node: Node & { kind: "split" }): Push {
    const branches = new Map<string, Push>();
    for (const name of node.names) {
      branches.set(
        name,
        this.#fan(node, (consumer) => consumer.kind === "branch" && consumer.name === name),
      );
    }
    return (value) => {
      const name = node.which(value);
      const push = branches.get(name);
      if (push === undefined) throw new Error(`a split has no branch ${JSON.stringify(name)}`);
      push(value, "");
    };
  }

  #compileEventTime(node: EventTimeNode, next: Push): Push {
    const clock = this.watermarks.eventClock(node);
    return (value) => {
      this.#timeMs = checkedTime(node.timeMsOf(value));
      clock.see(this.#timeMs);
      next(value, "");
    };
  }

  #compileExchange(node: ExchangeNode, next: Push): Push {
    const index = this.plan.exchanges.indexOf(node);
    const raw = node.codec === undefined ? rawSourceOf(node.inputs[0] as Node) : undefined;
    const codec = node.codec ?? (raw === undefined ? recordJson : rawCodec(raw, this.frame));
    this.#exchangeCodecs[index] = codec;
    this.#afterExchange[index] = next;
    const { keyOf } = node;
    if (node.isLocal) return (value) => next(value, checkedKey(keyOf(value)));
    const { host } = this;
    const asSent = host.isStrict === true && raw === undefined ? thereAndBack(codec) : undefined;
    return (value) => {
      const key = checkedKey(keyOf(value));
      const owner = host.ownerOf(key);
      if (owner === host.self) next(asSent === undefined ? value : asSent(value), key);
      else host.send(owner, index, key, this.#timeMs, (out) => codec.encode(value, out));
    };
  }

  #compileState(node: StateNode, next: Push): Push {
    const store = this.stores.get(node.name) as StateStore;
    const out = outOf(next);
    const step = node.step as (...words: Parameters<typeof node.step>) => unknown;
    const what = `the state "${node.name}"`;
    return (value, key) => void ofPlain(step(value, store.value(key), out, key), what);
  }

  #compileWindow(node: WindowNode): Push {
    const next = this.#fan(node, (consumer) => consumer.kind !== "late");
    const late = this.#fan(node, (consumer) => consumer.kind === "late");
    const step = new WindowStep(node, this.stores.get(node.name) as StateStore, {
      emit: (value, timeMs) => {
        const before = this.#timeMs;
        if (!Number.isNaN(timeMs)) this.#timeMs = timeMs;
        next(value, "");
        this.#timeMs = before;
      },
      late: (value) => late(value, ""),
      onBadWindow: (key, error) =>
        this.host.onBadRecord("step", `window ${node.name}`, encoder.encode(key), error),
    });
    this.windows.set(node.name, step);
    return (value, key) => step.add(value, key, this.#timeMs);
  }
}

/** How a step is told apart from others: its own name, or its kind and its number among those. */
function stepName(node: Node, { nodes }: Plan): string | undefined {
  if (node.kind === "state" || node.kind === "window") return node.name;
  if (node.kind !== "map" && node.kind !== "filter" && node.kind !== "flatMap") return undefined;
  return `${node.kind} ${nodes.filter(({ kind }) => kind === node.kind).indexOf(node) + 1}`;
}

/** A record as another worker would get it. */
function thereAndBack(codec: Codec<unknown>): (value: unknown) => unknown {
  const writer = new RecordWriter();
  const frame = new FrameCursor();
  return (value) => {
    writer.clear();
    codec.encode(value, writer);
    const bytes = copyOf(writer.done());
    return codec.decode(frame.set(bytes, 0, bytes.byteLength));
  };
}

function outOf(next: Push): Out<unknown> {
  return { emit: (value) => next(value, "") };
}

/** Sends a record as the bytes that it came as; the other side decodes them again. */
function rawCodec(source: SourceNode, frame: FrameCursor): Codec<unknown> {
  return {
    encode: (_value, out) => void out.raw(frame.source.subarray(frame.start, frame.end)),
    decode: (received) => source.decode(received),
  };
}
