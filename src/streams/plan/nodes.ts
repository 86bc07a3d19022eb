/**
 * A pipeline as data: the steps that a user's calls made, each with those it takes its records from.
 *
 * Invariant: a node's number is larger than those of its inputs, so the order of numbers is an order of the flow.
 */
import type {
  Aggregate,
  Codec,
  EventTimeOptions,
  Framing,
  GeneratorOptions,
  SinkOptions,
  SourceOptions,
  StateOptions,
  StateStep,
  WindowSpec,
} from "../api/contract.ts";

interface Base {
  readonly id: number;
  readonly inputs: readonly Node[];
}

export interface SourceNode extends Base {
  kind: "source";
  name: string;
  framing: Framing;
  decode: SourceOptions<unknown>["decode"];
}

export interface GeneratorNode extends Base {
  kind: "generator";
  name: string;
  options: GeneratorOptions<unknown>;
}

export interface StepNode extends Base {
  kind: "map" | "filter" | "flatMap";
  step: (...values: never[]) => unknown;
}

export interface SplitNode extends Base {
  kind: "split";
  names: readonly string[];
  which: (value: unknown) => string;
}

/** One of the streams that a split makes. */
export interface BranchNode extends Base {
  kind: "branch";
  name: string;
}

export interface MergeNode extends Base {
  kind: "merge";
}

export interface EventTimeNode extends Base {
  kind: "eventTime";
  timeMsOf: (value: unknown) => number;
  options: Required<EventTimeOptions>;
}

/** Where records change the worker: placed by key. */
export interface ExchangeNode extends Base {
  kind: "exchange";
  keyOf: (value: unknown) => string;
  /** Absent: raw bytes of the source where that is the input, else JSON. */
  codec: Codec<unknown> | undefined;
  /** Records stay on the worker that they came to. */
  isLocal: boolean;
}

export interface StateNode extends Base {
  kind: "state";
  name: string;
  options: StateOptions<unknown>;
  step: StateStep<unknown, unknown, unknown>;
}

export interface WindowNode extends Base {
  kind: "window";
  name: string;
  spec: WindowSpec;
  aggregate: Aggregate<unknown, unknown, unknown>;
}

/** Records that came too late for the window that is its input. */
export interface LateNode extends Base {
  kind: "late";
}

export interface SinkNode extends Base {
  kind: "sink";
  name: string;
  framing: Framing;
  encode: SinkOptions<unknown>["encode"];
}

export type Node =
  | SourceNode
  | GeneratorNode
  | StepNode
  | SplitNode
  | BranchNode
  | MergeNode
  | EventTimeNode
  | ExchangeNode
  | StateNode
  | WindowNode
  | LateNode
  | SinkNode;
