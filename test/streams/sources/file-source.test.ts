/** A file that is followed, and what becomes of it. */
import { expect, test } from "bun:test";
import { app, framed, lines } from "node-x/stream";
import { SimClock } from "../../../src/core/sim/clock.ts";
import { SimDisk } from "../../../src/core/sim/disk.ts";
import { Scheduler } from "../../../src/core/sim/scheduler.ts";
import type { SourceNode } from "../../../src/streams/plan/nodes.ts";
import { planOf } from "../../../src/streams/plan/plan.ts";
import { FileSource } from "../../../src/streams/sources/file-source.ts";

const PATH = "/in/words";

test("a file that was cut is an error, not silence until it has grown again", () => {
  const on = new Scheduler(1);
  const disk = new SimDisk(on);
  const pause = (ms: number) => new Promise<void>((resolve) => void on.after(ms, resolve));
  const node = planOf(
    app("words", (a) =>
      a
        .source<string>("Words", { framing: lines(), decode: (frame) => frame.text(0) })
        .to(a.sink<string>("out", { framing: framed(), encode: () => {} })),
    ),
  ).sources[0] as SourceNode;
  on.run(async () => {
    await disk.makeDirectory("/in");
    const file = await disk.open(PATH, "create");
    const write = (text: string, at: number) => file.write(Buffer.from(text), at);
    await write("one\ntwo\nth", 0);
    const words: string[] = [];
    let fatal: Error | undefined;
    const host = {
      feed: (_node: SourceNode, bytes: Uint8Array, start: number, end: number) =>
        void words.push(Buffer.from(bytes.subarray(start, end)).toString()),
      feedValue: () => {},
      onBatchEnd: () => {},
    };
    const source = new FileSource(node, host, {
      ...{ disk, clock: new SimClock(on), path: PATH },
      onFatal: (error) => (fatal = error),
    });
    await source.open();
    await source.rollBack(undefined);
    source.go();
    await pause(1000);
    expect([words, source.position(), fatal]).toEqual([["one", "two"], 8, undefined]);
    await write("ree\n", 10);
    await pause(1000);
    expect(words).toEqual(["one", "two", "three"]);
    await file.truncate(4);
    await pause(1000);
    expect(fatal?.message).toBe(
      "/in/words has 4 bytes, and Words had read 14: it was cut, or is another file",
    );
    await source.close();
  });
});
