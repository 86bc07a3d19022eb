/**
 * An application on one engine without network, files or clock: for its author's tests and for our oracle.
 *
 * Time stands still until `advance` moves it. Behind each record every state is made anew from what a checkpoint would keep
 * of it, and records go through the codec of their `keyBy`: what a crash or another worker would change, a test sees.
 */
import { isDeepStrictEqual } from "node:util";
import type { App, TestRun } from "./contract.ts";
import { NxError } from "../../core/errors.ts";
import type { SourceNode } from "../plan/nodes.ts";
import { planOf } from "../plan/plan.ts";
import { Engine } from "../runtime/engine.ts";
import { RecordWriter } from "../runtime/record-writer.ts";
import { type Splitter, splitterOf } from "../runtime/splitter.ts";

export function testApp(app: App, args: readonly string[] = []): TestRun {
  const taken = new Map<string, unknown[]>();
  const collecting: App = {
    name: app.name,
    build(builder) {
      return app.build({
        ...builder,
        sink: (name, options) => {
          taken.set(name, []);
          return builder.sink(name, {
            ...options,
            // Values are compared as they were when they were emitted: a decoder may use one object again and again.
            encode(value, out) {
              taken.get(name)?.push(structuredClone(value));
              options.encode(value, out);
            },
          });
        },
      });
    },
  };
  return new Run(collecting, args, taken);
}

class Run implements TestRun {
  readonly #engine: Engine;
  readonly #taken: Map<string, unknown[]>;
  readonly #splitters = new Map<string, Splitter>();
  readonly #writer = new RecordWriter();
  #nowMs = 0;

  constructor(app: App, args: readonly string[], taken: Map<string, unknown[]>) {
    this.#taken = taken;
    this.#engine = new Engine(planOf(app, { args, now: () => this.#nowMs }), {
      self: 0,
      ownerOf: () => 0,
      isStrict: true,
      send: () => {},
      sinkWriter: () => {
        this.#writer.clear();
        return this.#writer;
      },
      onBadRecord: (_reason, _source, _bytes, error) => {
        throw error;
      },
    });
    this.#engine.watermarks.setOpenSources(new Set(this.#engine.plan.sources.map(({ id }) => id)));
  }

  feed(source: string, values: readonly unknown[]): TestRun {
    for (const value of values) {
      this.#engine.feedValue(this.#source(source), value, this.#nowMs);
      this.#endRecord();
    }
    return this;
  }

  feedBytes(name: string, bytes: Uint8Array): TestRun {
    const source = this.#source(name);
    let splitter = this.#splitters.get(name);
    if (splitter === undefined) this.#splitters.set(name, (splitter = splitterOf(source.framing)));
    splitter.feed(bytes, (record, start, end) => {
      this.#engine.feed(source, record, start, end, this.#nowMs);
      this.#endRecord();
    });
    return this;
  }

  advance(ms: number): TestRun {
    this.#nowMs += ms;
    this.#endRecord();
    return this;
  }

  #endRecord(): void {
    this.#engine.fireWindows(this.#nowMs);
    for (const store of this.#engine.stores.values()) {
      store.prepare({ put: (key, image) => store.loadPrepared(key, image), remove: () => {} });
      store.commit();
    }
  }

  take(sink: string): unknown[] {
    const values = this.#taken.get(sink);
    if (values === undefined) throw missing("sink", sink, [...this.#taken.keys()]);
    this.#taken.set(sink, []);
    return values;
  }

  expect(sink: string, values: readonly unknown[]): TestRun {
    const found = this.take(sink);
    if (!isDeepStrictEqual(found, values)) {
      throw new NxError(
        "NX_CHECK_FAILED",
        `the sink "${sink}" got ${JSON.stringify(found)}, expected was ${JSON.stringify(values)}`,
      );
    }
    return this;
  }

  #source(name: string): SourceNode {
    const source = this.#engine.plan.sources.find((node) => node.name === name);
    if (source !== undefined) return source as SourceNode;
    throw missing(
      "source",
      name,
      this.#engine.plan.sources.map((node) => node.name),
    );
  }
}

function missing(kind: string, name: string, names: readonly string[]): NxError {
  return new NxError(
    "NX_STREAM_APP_INVALID",
    `the application has no ${kind} "${name}"; it has ${names.join(", ")}`,
  );
}
