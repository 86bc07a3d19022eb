/** One exposition out of many. */
import { expect, test } from "bun:test";
import { Exposition, labelText } from "../../src/hub/federation/exposition.ts";
import { startEcho } from "../core/kernel/harness.ts";
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
