/**
 * The calls of a pipeline's author: each adds a node to the graph that `build` is making.
 *
 * Nothing runs here. Mistakes that can be seen at once (a name twice, a merge of what does not fit) throw NX_STREAM_APP_INVALID.
 */
import type {
  Aggregate,
  Builder,
  Codec,
  EventTimeOptions,
  GeneratorOptions,
  KeyedStream,
  Out,
  Sink,
  SinkOptions,
  SourceOptions,
  StateOptions,
  StateStep,
  Stream,
  WindowedStream,
  WindowSpec,
} from "./contract.ts";
import { assertPlain, assertWindow, checked, invalid } from "./checks.ts";
import type { Node, StepNode } from "../plan/nodes.ts";

type Unnumbered<N> = N extends unknown ? Omit<N, "id"> : never;

const ONE_KEY = "";
const IDLE_MS = 10_000;

/** Collects the nodes of one application. */
export class Graph {
  readonly nodes: Node[] = [];
  readonly #names = new Set<string>();

  add(node: Unnumbered<Node>): Node {
    const numbered = { ...node, id: this.nodes.length } as Node;
    this.nodes.push(numbered);
    return numbered;
  }

  /** `kind name` must not be there yet: names tie states, sources and sinks to files and configuration. */
  claim(kind: string, name: string): void {
    if (!/^[A-Za-z0-9][A-Za-z0-9 ._-]{0,63}$/.test(name)) {
      throw invalid(
        `${JSON.stringify(name)} cannot name a ${kind}`,
        "1 to 64 letters, digits, spaces, dots, dashes and underscores",
      );
    }
    if (this.#names.has(`${kind} ${name}`)) throw invalid(`there are two ${kind}s with the name "${name}"`);
    this.#names.add(`${kind} ${name}`);
  }
}

class SinkHandle implements Sink<unknown> {
  readonly name: string;
  readonly graph: Graph;
  readonly options: SinkOptions<unknown>;
  constructor(graph: Graph, name: string, options: SinkOptions<unknown>) {
    this.graph = graph;
    this.name = name;
    this.options = options;
  }
}

/** A merge takes each record once, so one of a stream with itself would not be two of everything. */
function assertTwo(one: { graph: Graph; node: Node }, other: { graph: Graph; node: Node }): void {
  if (one.graph !== other.graph) throw invalid("streams of two applications cannot be merged");
  if (one.node === other.node) throw invalid("a stream cannot be merged with itself");
}

class FlowStream<T> implements Stream<T> {
  readonly graph: Graph;
  readonly node: Node;

  constructor(graph: Graph, node: Node) {
    this.graph = graph;
    this.node = node;
  }

  map<U>(step: (value: T) => U): Stream<U> {
    return this.#step("map", step);
  }

  filter(isWanted: (value: T) => boolean): Stream<T> {
    return this.#step("filter", isWanted);
  }

  flatMap<U>(step: (value: T, out: Out<U>) => void): Stream<U> {
    return this.#step("flatMap", step);
  }

  split<Name extends string>(names: readonly Name[], which: (value: T) => Name): Record<Name, Stream<T>> {
    assertPlain("split", which);
    if (names.length === 0 || new Set(names).size < names.length)
      throw invalid(`a split has the branches ${names.join(", ") || "none"}`, "one name or more, each once");
    const split = this.graph.add({
      kind: "split",
      inputs: [this.node],
      names,
      which: which as (value: unknown) => string,
    });
    const branches = names.map((name): [Name, Stream<T>] => [
      name,
      new FlowStream<T>(this.graph, this.graph.add({ kind: "branch", inputs: [split], name })),
    ]);
    return Object.fromEntries(branches) as Record<Name, Stream<T>>;
  }

  merge(other: Stream<T>): Stream<T> {
    if (!(other instanceof FlowStream))
      throw invalid("a stream by key cannot be merged with one that is not");
    assertTwo(this, other);
    return new FlowStream(this.graph, this.graph.add({ kind: "merge", inputs: [this.node, other.node] }));
  }

  keyBy(keyOf: (value: T) => string, codec?: Codec<T>): KeyedStream<T> {
    return this.#exchange(keyOf, codec, false);
  }

  global(codec?: Codec<T>): KeyedStream<T> {
    return this.#exchange(() => ONE_KEY, codec, false);
  }

  localKeyBy(keyOf: (value: T) => string): KeyedStream<T> {
    return this.#exchange(keyOf, undefined, true);
  }

  eventTime(timeMsOf: (value: T) => number, options: EventTimeOptions = {}): Stream<T> {
    assertPlain("eventTime", timeMsOf);
    const { latenessMs = 0, idleMs = IDLE_MS } = options;
    if (!(latenessMs >= 0 && Number.isFinite(latenessMs) && idleMs > 0))
      throw invalid(
        `eventTime has a lateness of ${latenessMs} ms and an idle time of ${idleMs} ms`,
        "a finite lateness from 0, an idle time above 0",
      );
    const node = this.graph.add({
      kind: "eventTime",
      inputs: [this.node],
      timeMsOf: timeMsOf as (value: unknown) => number,
      options: { latenessMs, idleMs },
    });
    return new FlowStream(this.graph, node);
  }

  to(sink: Sink<T>): void {
    if (!(sink instanceof SinkHandle) || sink.graph !== this.graph) throw invalid("a sink is made by a.sink");
    const { framing, encode } = sink.options;
    this.graph.add({ kind: "sink", inputs: [this.node], name: sink.name, framing, encode });
  }

  #step<U>(kind: StepNode["kind"], step: unknown): Stream<U> {
    assertPlain(kind, step);
    const node = this.graph.add({ kind, inputs: [this.node], step: step as StepNode["step"] });
    return new FlowStream<U>(this.graph, node);
  }

  #exchange(keyOf: (value: T) => string, codec: Codec<T> | undefined, isLocal: boolean): KeyedStream<T> {
    assertPlain("keyBy", keyOf);
    const node = this.graph.add({
      kind: "exchange",
      inputs: [this.node],
      keyOf: keyOf as (value: unknown) => string,
      codec: codec as Codec<unknown> | undefined,
      isLocal,
    });
    return new ByKey<T>(this.graph, node);
  }
}

class ByKey<T> implements KeyedStream<T> {
  readonly graph: Graph;
  readonly node: Node;

  constructor(graph: Graph, node: Node) {
    this.graph = graph;
    this.node = node;
  }

  merge(other: KeyedStream<T>): KeyedStream<T> {
    if (!(other instanceof ByKey)) throw invalid("a stream by key cannot be merged with one that is not");
    assertTwo(this, other);
    return new ByKey(this.graph, this.graph.add({ kind: "merge", inputs: [this.node, other.node] }));
  }

  state<S extends object, U>(name: string, options: StateOptions<S>, step: StateStep<T, S, U>): Stream<U> {
    this.graph.claim("state", name);
    assertPlain(`the state "${name}"`, options.init, step);
    const node = this.graph.add({
      kind: "state",
      inputs: [this.node],
      name,
      options: options as StateOptions<unknown>,
      step: step as StateStep<unknown, unknown, unknown>,
    });
    return new FlowStream(this.graph, node);
  }

  aggregate<A, U>(name: string, aggregate: Aggregate<T, A, U>): Stream<U> {
    const { initial, update, output } = checked(`the aggregate "${name}"`, aggregate);
    return this.state<{ value: A }, U>(
      name,
      { init: () => ({ value: initial() }) },
      (value, state, out, key) => {
        state.value = update(value, state.value);
        const result = output(key, state.value, undefined);
        if (result !== undefined) out.emit(result);
      },
    );
  }

  window<A, U>(name: string, spec: WindowSpec, aggregate: Aggregate<T, A, U>): WindowedStream<T, U> {
    this.graph.claim("state", name);
    const whole = checked(`the window "${name}"`, aggregate);
    assertWindow(name, spec, whole);
    const node = this.graph.add({
      kind: "window",
      inputs: [this.node],
      name,
      spec,
      aggregate: whole as Aggregate<unknown, unknown, unknown>,
    });
    return new Windowed<T, U>(this.graph, node);
  }
}

class Windowed<T, U> extends FlowStream<U> implements WindowedStream<T, U> {
  get late(): Stream<T> {
    const found = this.graph.nodes.find((node) => node.kind === "late" && node.inputs[0] === this.node);
    return new FlowStream(this.graph, found ?? this.graph.add({ kind: "late", inputs: [this.node] }));
  }
}

/** The builder that an application's function gets. */
export function builderOf(graph: Graph, args: readonly string[], now: () => number): Builder {
  return {
    args,
    now,
    source<T>(name: string, { framing, decode }: SourceOptions<T>): Stream<T> {
      graph.claim("source", name);
      assertPlain(`the source "${name}"`, decode);
      return new FlowStream(graph, graph.add({ kind: "source", inputs: [], name, framing, decode }));
    },
    generator<T>(name: string, options: GeneratorOptions<T>): Stream<T> {
      graph.claim("source", name);
      assertPlain(`the generator "${name}"`, options.next);
      return new FlowStream(
        graph,
        graph.add({
          kind: "generator",
          inputs: [],
          name,
          options: options as GeneratorOptions<unknown>,
        }),
      );
    },
    sink<T>(name: string, options: SinkOptions<T>): Sink<T> {
      graph.claim("sink", name);
      assertPlain(`the sink "${name}"`, options.encode);
      return new SinkHandle(graph, name, options as SinkOptions<unknown>);
    },
  };
}
