/** What is left of a record, or of a window, whose step throws: nothing. */
import { expect, test } from "bun:test";
import { app, framed, tumbling, type App } from "node-x/stream";
import type { SourceNode } from "../../../src/streams/plan/nodes.ts";
import { planOf } from "../../../src/streams/plan/plan.ts";
import { Engine } from "../../../src/streams/runtime/engine.ts";
import { RecordWriter } from "../../../src/streams/runtime/record-writer.ts";
import { ByteReader, ByteWriter } from "../../../src/streams/wire/bytes.ts";
import { FrameReader } from "../../../src/streams/wire/frame.ts";

/** Runs an application on one engine that goes on behind records that throw; returns what its sink has. */
function outputOf(application: App, values: readonly unknown[], bad: string[] = []): string[] {
  const writer = new RecordWriter();
  const engine = new Engine(planOf(application), {
    self: 0,
    ownerOf: () => 0,
    send: () => {},
    sinkWriter: () => writer,
    onBadRecord: (reason, source, bytes) =>
      void bad.push(`${reason} ${source} ${Buffer.from(bytes).toString()}`),
  });
  engine.watermarks.setOpenSources(new Set([0]));
  for (const value of values) {
    engine.feedValue(engine.plan.sources[0] as SourceNode, value, 0);
    engine.fireWindows(0);
  }
  const records: string[] = [];
  const reader = new FrameReader();
  reader.feed(
    writer.done(),
    (bytes, start, end) => void records.push(Buffer.from(bytes.subarray(start, end)).toString()),
  );
  expect(reader.waitingBytes).toBe(0);
  return records;
}

test("an encoder that throws half-way leaves nothing of its record in the output", () => {
  const application = app("halves", (a) =>
    a.source<string>("in", { framing: framed(), decode: () => undefined }).to(
      a.sink<string>("out", {
        framing: framed(),
        encode(word, out) {
          out.utf8(word);
          if (word === "b") throw new Error("half");
        },
      }),
    ),
  );
  const bad: string[] = [];
  expect(outputOf(application, ["a", "b", "c"], bad)).toEqual(["a", "c"]);
  expect(bad).toEqual(['step in "b"']);
});

test("a window whose output throws is gone with its name in the dead letters, and the others fire", () => {
  const application = app("windows", (a) =>
    a
      .source<number>("in", { framing: framed(), decode: () => undefined })
      .eventTime((timeMs) => timeMs)
      .keyBy(() => "k")
      .window<number, string>("counts", tumbling(10), {
        initial: () => 0,
        update: (_timeMs, count) => count + 1,
        output(_key, count, window) {
          if (window?.startMs === 10) throw new Error("not this one");
          return `${window?.startMs}: ${count}`;
        },
      })
      .to(a.sink<string>("out", { framing: framed(), encode: (text, out) => out.utf8(text) })),
  );
  const bad: string[] = [];
  expect(outputOf(application, [1, 11, 12, 21, 100], bad)).toEqual(["0: 1", "20: 1"]);
  expect(bad).toEqual(["step window counts k"]);
});

test("keys that UTF-8 cannot tell apart are one key at once, and one that begins with a mark of order keeps it", () => {
  const counted = app("keys", (a) =>
    a
      .source<string>("in", { framing: framed(), decode: () => undefined })
      .keyBy((word) => word)
      .state<{ count: number }, number>("counts", { init: () => ({ count: 0 }) }, (_word, state, out) => {
        out.emit((state.count += 1));
      })
      .to(a.sink<number>("out", { framing: framed(), encode: (count, out) => out.utf8(String(count)) })),
  );
  // Texts that were cut in the middle of a character, as `slice` cuts them.
  expect(outputOf(counted, ["a\ud83d", "a\ud83e", "a\ufffd"])).toEqual(["1", "2", "3"]);
  const read = new ByteReader(new ByteWriter().text("\ufeffword").done());
  expect(read.text()).toBe("\ufeffword");
});
