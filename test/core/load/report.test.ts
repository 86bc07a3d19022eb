import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { Recorder } from "../../../src/core/load/recorder.ts";
import { buildReport, type LoadReport } from "../../../src/core/load/report.ts";
import { reportLines } from "../../../src/core/load/table.ts";
import { Timeline } from "../../../src/core/load/timeline.ts";

const START_MS = 1000;

export function reportOf(recorder: Recorder, endMs = START_MS + 2000): LoadReport {
  return buildReport(recorder, {
    tool: "node-x bench dht",
    startedAtMs: Date.UTC(2026, 0, 1),
    address: "127.0.0.1:10200",
    server: "node-x 0.1.0",
    options: { connections: 50 },
    endMs,
    generatorCpuSeconds: 1,
  });
}

function filled(): Recorder {
  const recorder = new Recorder(["SET", "GET"], START_MS);
  for (let request = 0; request < 1000; request++) {
    recorder.requests += 1;
    recorder.reply(request % 4 === 0 ? 0 : 1, 1 + request / 1000);
    recorder.timeline.count(1, START_MS + request * 2);
  }
  return recorder;
}

describe("the report", () => {
  test("has figures that follow from what was recorded", () => {
    const report = reportOf(filled());
    expect(report).toMatchObject({
      succeeded: true,
      seconds: 2,
      requests: 1000,
      replies: 1000,
      requestsPerSecond: 500,
      generatorCpuShare: 0.5,
    });
    expect(report.operations.map((one) => [one.operation, one.requestsPerSecond])).toEqual([
      ["SET", 125],
      ["GET", 375],
    ]);
    expect(report.latency.p50Ms).toBeCloseTo(1.5, 2);
    expect(report.startedAt).toBe("2026-01-01T00:00:00.000Z");
  });

  test.each<[string, (recorder: Recorder) => void]>([
    ["a request has no reply", (recorder) => (recorder.requests += 1)],
    ["there are more replies than requests", (recorder) => recorder.reply(0, 1)],
    ["a reply was an error", (recorder) => recorder.error("ERR no")],
    ["a value differs", (recorder) => (recorder.mismatches += 1)],
  ])("has not succeeded when %s", (_what, harm) => {
    const recorder = filled();
    harm(recorder);
    expect(reportOf(recorder).succeeded).toBe(false);
  });

  test("has not succeeded when nothing was sent", () => {
    const report = reportOf(new Recorder(["SET"], START_MS));
    expect(report.succeeded).toBe(false);
    expect(reportLines(report).join("\n")).toContain("no request was sent");
  });

  test("says to people what is missing and what went wrong", () => {
    const recorder = filled();
    recorder.requests += 2;
    recorder.misses = 3;
    recorder.error("OOM command not allowed", 1234);
    const text = reportLines(reportOf(recorder)).join("\n");
    expect(text).toContain("1,000 replies to 1,002 requests");
    expect(text).toContain("2 requests have no reply");
    expect(text).toContain("1,234 x: OOM command not allowed");
    expect(text).toContain("3 reads found no record");
  });

  test("keeps a bounded number of error texts and loses no count", () => {
    const recorder = filled();
    for (let text = 0; text < 500; text++) recorder.error(`ERR ${text}`);
    expect(recorder.errors.size).toBeLessThanOrEqual(51);
    expect(recorder.errorsTotal).toBe(500);
  });
});

describe("the timeline", () => {
  test("loses no reply however long the run is, in a bounded number of slices", () => {
    const moments = fc.array(fc.integer({ min: 0, max: 1_000_000 }), { maxLength: 100 });
    fc.assert(
      fc.property(moments, (elapsed) => {
        const timeline = new Timeline(0, 100, 50);
        for (const atMs of elapsed) timeline.count(2, atMs);
        expect(timeline.total).toBe(2 * elapsed.length);
        expect(timeline.points(1_000_000).length).toBeLessThanOrEqual(50);
      }),
    );
  });

  test("gives rates a second, the last slice for its real length", () => {
    const timeline = new Timeline(1000);
    timeline.count(10, 1000);
    timeline.count(5, 1120);
    expect(timeline.points(1150)).toEqual([
      { atSeconds: 0, requestsPerSecond: 100 },
      { atSeconds: 0.1, requestsPerSecond: 100 },
    ]);
  });
});
