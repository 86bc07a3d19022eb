/** One exposition out of many, made of polls that nobody waits for. */
import { describe, expect, test } from "bun:test";
import { createLog, formatText, logOutput } from "../../src/core/logging/log.ts";
import { realClock } from "../../src/core/seams/clock.ts";
import { seededRandom } from "../../src/core/seams/random.ts";
import type { Asked } from "../../src/core/watch/scraper.ts";
import { Watched } from "../../src/core/watch/watched.ts";
import { Exposition, labelText } from "../../src/hub/federation/exposition.ts";
import { Federation } from "../../src/hub/federation/federate.ts";
import { MetricsPoll, TEXT_LENGTH_MAX } from "../../src/hub/federation/metrics-poll.ts";
import { startEcho, until } from "../core/kernel/harness.ts";
import { answer } from "./answer.ts";
import { TestHub } from "./harness.ts";

test("samples of one name stand together under one description", () => {
  const exposition = new Exposition();
  exposition.add(
    '# HELP x_total One.\n# TYPE x_total counter\nx_total{i="a"} 1\n\n# HELP y Two.\n# TYPE y gauge\ny 2\n',
  );
  exposition.add('# HELP x_total Another text.\n# TYPE x_total counter\nx_total{i="b"} 3\n');
  expect(exposition.text()).toBe(
    '# HELP x_total One.\n# TYPE x_total counter\nx_total{i="a"} 1\nx_total{i="b"} 3\n\n# HELP y Two.\n# TYPE y gauge\ny 2\n',
  );
});

test("buckets, sums and counts stay with their histogram", () => {
  const exposition = new Exposition();
  const text = (instance: string) =>
    `# HELP h Some.\n# TYPE h histogram\nh_bucket{le="+Inf",i="${instance}"} 1\nh_sum{i="${instance}"} 1\nh_count{i="${instance}"} 1\n`;
  exposition.add(text("a"));
  exposition.add(text("b"));
  const lines = exposition.text().trim().split("\n");
  expect(lines.filter((line) => line.startsWith("#"))).toHaveLength(2);
  expect(lines).toHaveLength(8);
});

test("what is no exposition adds nothing", () => {
  const exposition = new Exposition();
  for (const text of ["<html>", "x{", "x", "{} 1", "1x 2", "# HELP only.a.head", "\u0000\u0001"])
    exposition.add(text);
  expect(exposition.text()).toBe("");
  expect(labelText('a"b\\c\nd')).toBe('a\\"b\\\\c\\nd');
});

test("GET /metrics has every instance, and 0 for one that is gone", async () => {
  const echo = await startEcho();
  await using hub = await TestHub.start({
    config: { instances: [echo.directory.dataDir, "/nonexistent/gone"] },
  });
  const response = await hub.fetch("/metrics");
  expect(response.headers.get("content-type")).toContain("text/plain; version=0.0.4");
  const text = await response.text();
  expect(text).toContain(`node_x_up{instance="${echo.directory.dataDir}"} 1`);
  expect(text).toContain('node_x_up{instance="/nonexistent/gone"} 0');
  expect(text).toContain('node_x_ready{instance="echo",role="echo"} 1');
  expect(text.match(/^# TYPE node_x_ready /gm)).toHaveLength(1);
  await echo[Symbol.asyncDispose]();
});

const PERIOD_MS = 10_000;

/** A poll of some instances with a clock that is set by hand; what they answer is settled one by one. */
class TestPoll {
  nowMs = 1000;
  readonly lines: string[] = [];
  readonly asked: Asked[];
  readonly questions: { socket: string; atMs: number; answer: PromiseWithResolvers<string> }[] = [];
  readonly poll: MetricsPoll;
  readonly federation: Federation;

  constructor(...names: string[]) {
    this.asked = names.map((name) => ({ target: { name, endpoint: { socket: name } }, watched: new Watched({ name }) }));
    const clock = { ...realClock, nowMs: () => this.nowMs, monotonicMs: () => this.nowMs };
    const sink = { write: (line: string) => void this.lines.push(line) };
    this.poll = new MetricsPoll({
      ...{ clock, random: seededRandom(12), periodMs: PERIOD_MS },
      log: createLog(clock, "hub", logOutput("info", [{ sink, format: formatText }])),
      ask: (endpoint) => {
        const question = { socket: (endpoint as { socket: string }).socket, atMs: this.nowMs, answer: Promise.withResolvers<string>() };
        this.questions.push(question);
        return question.answer.promise;
      },
    });
    this.federation = new Federation(clock, () => this.asked, this.poll);
  }

  /** A second passes, and these answer to `/stats`. */
  second(...answering: string[]): void {
    this.nowMs += 1000;
    for (const { watched } of this.asked) {
      if (answering.includes(watched.identity.name)) watched.accept(answer({ uptimeSeconds: this.nowMs }), this.nowMs);
      else watched.fail("gone");
    }
    this.poll.round(this.asked);
  }

  /** The newest question to each of them is answered. */
  async tell(names: string[], textOf: (name: string) => string): Promise<void> {
    for (const name of names)
      this.questions.findLast(({ socket }) => socket === name)?.answer.resolve(textOf(name));
    await Bun.sleep(0);
  }

  countOf(name: string): number {
    return this.questions.filter(({ socket }) => socket === name).length;
  }
} // prettier-ignore

describe("polls", () => {
  test("come once per period, at moments of their own", async () => {
    const names = Array.from({ length: 40 }, (_, index) => `i${index}`);
    const test = new TestPoll(...names);
    for (let second = 0; second < 100; second++) {
      test.second(...names);
      await test.tell(names, () => "");
    }
    const counts = names.map((name) => test.countOf(name));
    expect(Math.min(...counts)).toBeGreaterThanOrEqual(9);
    expect(Math.max(...counts)).toBeLessThanOrEqual(13);
    const perSecond = Map.groupBy(test.questions, ({ atMs }) => atMs);
    const later = [...perSecond].flatMap(([atMs, list]) => (atMs > 2000 ? list.length : []));
    expect(perSecond.get(2000)).toHaveLength(40);
    expect(Math.max(...later)).toBeLessThan(20);
  });

  test("one that does not end delays nobody, and is the only one of its instance", async () => {
    const test = new TestPoll("slow", "quick");
    test.second("slow", "quick");
    await test.tell(["quick"], () => "x 1\n");
    for (let second = 0; second < 60; second++) {
      test.second("slow", "quick");
      await test.tell(["quick"], () => "x 1\n");
    }
    expect(test.countOf("slow")).toBe(1);
    expect(test.countOf("quick")).toBeGreaterThan(4);
    expect(test.federation.text()).toContain('node_x_up{instance="slow"} 1\n');
    expect(test.federation.text()).toContain("\nx 1\n");
    const { length } = test.questions;
    test.nowMs += 10 * PERIOD_MS;
    test.federation.text();
    expect(test.questions).toHaveLength(length);
  });

  test("leave out who does not answer, and ask it at once when it is back", async () => {
    const test = new TestPoll("a", "b");
    test.second("a", "b");
    await test.tell(["a", "b"], (name) => `y{i="${name}"} 1\n`);
    test.second("b");
    expect(test.federation.text()).toContain('node_x_up{instance="a"} 0\n');
    expect(test.federation.text()).toContain('y{i="b"} 1');
    expect(test.federation.text()).not.toContain('y{i="a"}');
    for (let second = 0; second < 60; second++) test.second("b");
    expect(test.countOf("a")).toBe(1);
    test.second("a", "b");
    expect(test.countOf("a")).toBe(2);
  });

  test("that bring nothing leave the last figures for three periods, with their age, and are logged once", async () => {
    const test = new TestPoll("a");
    test.second("a");
    await test.tell(["a"], () => "z 1\n");
    for (let second = 0; second < 25; second++) {
      test.second("a");
      if (test.countOf("a") > 1) test.questions.at(-1)?.answer.reject(new Error("it is busy"));
      await Bun.sleep(0);
    }
    expect(test.federation.text()).toContain('node_x_metrics_age_seconds{instance="a"} 25.000\n');
    expect(test.federation.text()).toContain("\nz 1\n");
    test.nowMs += 10_000;
    expect(test.federation.text()).toContain('node_x_metrics_age_seconds{instance="a"} 35.000\n');
    expect(test.federation.text()).not.toContain("\nz 1\n");
    expect(
      test.lines.filter((line) => line.includes("a does not tell its metrics: it is busy")),
    ).toHaveLength(1);
  });
});

test("GET /metrics has what polls brought, but of an instance that says too much or is dead", async () => {
  const serve = (name: string, metrics: string) =>
    Bun.serve({
      ...{ port: 0, hostname: "127.0.0.1" },
      fetch: ({ url }) => {
        if (url.endsWith("/stats")) return Response.json({ ...answer({ instance: name }) });
        return new Response(metrics);
      },
    });
  const small = serve("small", "w 1\n");
  const large = serve("large", "v 1\n".repeat(TEXT_LENGTH_MAX / 4 + 1));
  const urls = [small, large].map(({ port }) => `http://127.0.0.1:${port}`);
  await using hub = await TestHub.start({ config: { instances: urls, metricsPeriodMs: 60_000 } });
  const federated = async () => (await hub.fetch("/metrics")).text();
  expect(await federated()).toContain("\nw 1\n");
  expect(await federated()).not.toContain("v 1");
  expect(await federated()).toContain(`node_x_up{instance="${urls[1]}"} 1`);
  expect(hub.lines.join("")).toContain("the answer is too long");
  await small.stop(true);
  await until("the dead one to be left out", async () =>
    (await federated()).includes("\nw 1\n") ? undefined : true,
  );
  expect(await federated()).toContain(`node_x_up{instance="${urls[0]}"} 0`);
  await large.stop(true);
});
