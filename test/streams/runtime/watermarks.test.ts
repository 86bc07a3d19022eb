/** Event time over several workers: whose input holds whom up, and until when. */
import { expect, test } from "bun:test";
import { app, framed, tumbling } from "node-x/stream";
import type { EventTimeNode, WindowNode } from "../../../src/streams/plan/nodes.ts";
import { planOf } from "../../../src/streams/plan/plan.ts";
import { Watermarks } from "../../../src/streams/runtime/watermarks.ts";

const plan = planOf(
  app("times", (a) =>
    a
      .source<{ key: string; timeMs: number }>("in", { framing: framed(), decode: () => undefined })
      .eventTime(({ timeMs }) => timeMs, { idleMs: 120_000 })
      .keyBy(({ key }) => key)
      .window<number, number>("w", tumbling(10), {
        initial: () => 0,
        update: (_value, sum) => sum + 1,
        output: (_key, sum) => sum,
      })
      .to(a.sink<number>("out", { framing: framed(), encode: () => {} })),
  ),
);
const [window] = plan.states as [WindowNode];

test("a slow input of another worker holds windows up as long as it says, from before it has said anything until it leaves", () => {
  const watermarks = new Watermarks(plan);
  const clock = watermarks.eventClock(plan.nodes.find(({ kind }) => kind === "eventTime") as EventTimeNode);
  watermarks.setOpenSources(new Set(plan.sources.map(({ id }) => id)));
  const markAt = (nowMs: number) => {
    watermarks.update(nowMs);
    return watermarks.of(window);
  };
  watermarks.expect([1, 2]);
  clock.see(2000);
  expect(markAt(0)).toBe(Number.NEGATIVE_INFINITY);
  watermarks.hear(0, 2, Number.POSITIVE_INFINITY);
  expect(markAt(1000)).toBe(Number.NEGATIVE_INFINITY);
  watermarks.hear(0, 1, 1000);
  expect(markAt(2000)).toBe(1000);
  // Its idle time is the application's: it has not said that it is over.
  expect(markAt(60_000)).toBe(1000);
  watermarks.forget(1);
  expect(markAt(60_001)).toBe(2000);
});
