/** Log lines: their format, what a remote string cannot do to them, files that rotate and disks that are full. */
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import fc from "fast-check";
import {
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { realClock, sleep, type Clock } from "../../../src/core/seams/clock.ts";
import {
  consoleMode,
  consoleTarget,
  drawLiveLine,
  type Terminal,
} from "../../../src/core/kernel/console-line.ts";
import {
  createLog,
  formatJson,
  formatText,
  logOutput,
  type LogFields,
  type LogRecord,
} from "../../../src/core/logging/log.ts";
import { RotatingFile } from "../../../src/core/logging/rotating-file.ts";
import { SimClock } from "../../../src/core/sim/clock.ts";
import { Scheduler } from "../../../src/core/sim/scheduler.ts";
import { StatsLog } from "../../../src/core/logging/stats-log.ts";

const timeMs = new Date(2026, 10, 22, 8, 0, 59, 359).getTime();
const record = (message: string, fields?: LogFields): LogRecord => ({
  timeMs,
  level: "info",
  logger: "dht.store",
  message,
  fields,
});

describe("a log line", () => {
  test("has the originals' format", () => {
    expect(
      formatText(record("Dumping channel 'ch' to disk", { records: 3, path: "/a/b.log", note: "two words" })),
    ).toBe(
      "2026-11-22 08:00:59,359 Info [dht.store] - Dumping channel 'ch' to disk records=3 path=/a/b.log note=\"two words\"",
    );
  });

  test("stays one line, free of terminal controls, whatever a client put into it", () => {
    fc.assert(
      fc.property(fc.string({ unit: "binary" }), fc.string({ unit: "binary" }), (message, field) => {
        for (const line of [formatText(record(message, { field })), formatJson(record(message, { field }))]) {
          // eslint-disable-next-line no-control-regex
          expect(line).not.toMatch(/[\u0000-\u001f]/);
        }
      }),
    );
    const forged = formatText(record("bye\n2026-11-22 08:00:59,359 Fatal [x] - forged\x1b[2J\u202e"));
    expect(forged).toEndWith("bye\\n2026-11-22 08:00:59,359 Fatal [x] - forged\\x1b[2J\\u202e");
  });

  test("is cut when it is very long", () => {
    const line = formatText(record("x".repeat(10_000_000)));
    expect(line.length).toBeLessThan(20_000);
    expect(line).toEndWith("(10000000 characters)");
    expect(formatJson(record("y", { huge: "x".repeat(10_000_000) })).length).toBeLessThan(40_000);
  });

  test("as JSON keeps its own members whatever the fields are called", () => {
    expect(
      JSON.parse(formatJson(record("real", { message: "fake", level: "fatal", time: 0, n: 1 }))),
    ).toMatchObject({ message: "real", level: "info", n: 1 });
  });

  test("never throws: cycles, bigints, a sink that fails, a format that fails", () => {
    const cycle: LogFields = {};
    cycle.self = cycle;
    const written: string[] = [];
    const output = logOutput("info", [
      { sink: { write: () => { throw new Error("disk gone"); } }, format: formatText },
      { sink: { write: (line) => written.push(line) }, format: formatText },
    ]); // prettier-ignore
    const log = createLog(realClock, "x", output);
    log.info("one", { cycle, big: 10n ** 30n });
    log.info("two", { get bad(): string { throw new Error("getter"); } }); // prettier-ignore
    expect(written).toHaveLength(1);
    expect(written[0]).toContain("big=");
    expect(output.failed).toBe(3);
  });

  test("below the level is not formatted, and a reload of the level reaches child loggers", () => {
    const written: string[] = [];
    const output = logOutput("warn", [{ sink: { write: (line) => written.push(line) }, format: formatText }]);
    const child = createLog(realClock, "dht", output).child("store");
    child.info("quiet");
    output.level = "info";
    child.info("heard");
    expect(written).toHaveLength(1);
    expect(written[0]).toEndWith("Info [dht.store] - heard");
  });
});

describe("a rotating file", () => {
  let directory: string;
  beforeEach(() => (directory = mkdtempSync(join(tmpdir(), "node-x-log-"))));
  afterEach(() => rmSync(directory, { recursive: true, force: true }));
  const path = () => join(directory, "root.log");
  const open = (bytesMax = 100, filesMax = 3) => new RotatingFile(path(), { bytesMax, filesMax });

  test("keeps filesMax files, newest first, every line whole", () => {
    const file = open();
    for (let index = 0; index < 100; index++)
      file.write(`line ${String(index).padStart(3, "0")} ${"x".repeat(11)}`);
    file.close();
    expect(readdirSync(directory).sort()).toEqual(["root.log", "root.log.1", "root.log.2"]);
    const lines = ["root.log.2", "root.log.1", "root.log"].flatMap((name) =>
      readFileSync(join(directory, name), "utf8").trimEnd().split("\n"),
    );
    expect(lines.every((line) => line.length === 20)).toBe(true);
    expect(lines.at(-1)).toStartWith("line 099");
    expect(lines.map((line) => Number(line.slice(5, 8)))).toEqual(
      lines.map((_, index) => 100 - lines.length + index),
    );
  });

  test("with filesMax 1 starts over", () => {
    const file = open(100, 1);
    for (let index = 0; index < 50; index++) file.write("a line");
    file.close();
    expect(readdirSync(directory)).toEqual(["root.log"]);
  });

  test("goes on in a new file after logrotate moved the old one and asked for it", () => {
    const file = open();
    file.write("before");
    renameSync(path(), join(directory, "moved"));
    file.write("between");
    file.reopen();
    file.write("after");
    file.close();
    expect(readFileSync(join(directory, "moved"), "utf8")).toBe("before\nbetween\n");
    expect(readFileSync(path(), "utf8")).toBe("after\n");
  });

  test("begins a new line where a killed process left half of one", () => {
    writeFileSync(path(), "half a li");
    const file = open();
    file.write("whole");
    file.write("another");
    file.close();
    expect(readFileSync(path(), "utf8")).toBe("half a li\nwhole\nanother\n");
  });

  test.skipIf(process.getuid?.() !== 0)(
    "counts what a full disk swallows, never throws, and reports the count when there is space",
    () => {
      // A small tmpfs (which only root can mount): a real ENOSPC.
      const mount = join(directory, "small");
      mkdirSync(mount);
      const mounted = Bun.spawnSync(["mount", "-t", "tmpfs", "-o", "size=16k", "tmpfs", mount]);
      expect(mounted.exitCode).toBe(0);
      try {
        const file = new RotatingFile(join(mount, "root.log"), { bytesMax: 1e9, filesMax: 2 });
        for (let index = 0; index < 30; index++) file.write(`${index} ${"x".repeat(1000)}`);
        expect(file.lostLines).toBeGreaterThan(10);
        const lost = file.lostLines;
        renameSync(join(mount, "root.log"), join(mount, "old"));
        file.reopen();
        rmSync(join(mount, "old"));
        file.write("there is space again");
        file.close();
        expect(readFileSync(join(mount, "root.log"), "utf8")).toBe(
          `[${lost} lines could not be written here]\nthere is space again\n`,
        );
      } finally {
        Bun.spawnSync(["umount", mount]);
      }
    },
  );

  test("says at the start when it cannot be opened", () => {
    mkdirSync(path());
    expect(() => open()).toThrow(expect.objectContaining({ code: "NX_DATA_DIR_UNUSABLE" }));
  });
});

describe("stats.log", () => {
  test("has a line at each round time with the figures of that period", () => {
    const scheduler = new Scheduler(1);
    const clock: Clock = new SimClock(scheduler, {
      wallStartMs: new Date(2026, 0, 1, 10, 0, 17, 500).getTime(),
    });
    const lines: string[] = [];
    const output = logOutput("info", []);
    let cpu = 0;
    const figures = () => ({
      rssBytes: 64,
      virtualBytes: 1000,
      heapBytes: 1,
      openFiles: 1,
      cpuUserSeconds: cpu,
      cpuSystemSeconds: 0,
    });
    scheduler.run(async () => {
      const options = {
        clock,
        sink: { write: (line: string) => lines.push(line) },
        periodMs: 30_000,
        logOutput: output,
        memoryBytes: 6400,
      };
      const stats = new StatsLog({ ...options, readFigures: figures, roleLine: () => "bytes_sent:5" });
      await sleep(clock, 20_000);
      output.counts.warn = 4;
      cpu = 3;
      await sleep(clock, 45_000);
      stats.close();
      await sleep(clock, 60_000);
    });
    expect(lines).toEqual([
      "2026-01-01 10:00:30,000 cpu_user:0.00 cpu_system:0.00 cpu_total:0.00 vsz:1000 rss:64 mem_percentage:1.00 bytes_sent:5 logged_trace:0 logged_info:0 logged_warn:0 logged_error:0 logged_fatal:0",
      "2026-01-01 10:01:00,000 cpu_user:10.00 cpu_system:0.00 cpu_total:10.00 vsz:1000 rss:64 mem_percentage:1.00 bytes_sent:5 logged_trace:0 logged_info:0 logged_warn:4 logged_error:0 logged_fatal:0",
    ]);
  });
});

describe("the console", () => {
  const terminal = (isTty: boolean, columns = 40) => {
    const written: string[] = [];
    const fake: Terminal = { isTty, columns: () => columns, write: (text) => written.push(text) };
    return { fake, written };
  };

  test("is the live line on a terminal, text on a pipe, and what the configuration says", () => {
    expect(consoleMode("auto", terminal(true).fake, {})).toBe("line");
    expect(consoleMode("auto", terminal(false).fake, {})).toBe("text");
    expect(consoleMode("auto", terminal(false).fake, { JOURNAL_STREAM: "1:2" })).toBe("text");
    expect(consoleMode("json", terminal(true).fake, {})).toBe("json");
    expect(consoleTarget("off", terminal(true).fake)).toBeUndefined();
  });

  test("redraws the line each second, cut to the width, and a log line takes its place", () => {
    const scheduler = new Scheduler(1);
    const clock = new SimClock(scheduler);
    const { fake, written } = terminal(true, 12);
    scheduler.run(async () => {
      const timer = drawLiveLine(clock, fake, () => "  dht: 12345 records");
      await sleep(clock, 2500);
      timer.cancel();
      await sleep(clock, 2500);
    });
    expect(written).toEqual(["\r  dht: 1234\x1b[K", "\r  dht: 1234\x1b[K"]);
    const pipe = terminal(false);
    scheduler.run(async () => {
      const timer = drawLiveLine(clock, pipe.fake, () => "  dht: 12345 records ".padEnd(200, "x"));
      await sleep(clock, 1500);
      timer.cancel();
    });
    expect(pipe.written[0]).toHaveLength(204);
    consoleTarget("line", fake)?.sink.write("a line");
    expect(written.at(-1)).toBe("\r\x1b[Ka line\n");
  });
});
