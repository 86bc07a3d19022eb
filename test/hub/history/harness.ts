/** A history in a directory of its own, with a clock that is set by hand and a log that is kept. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createLog, formatText, logOutput } from "../../../src/core/logging/log.ts";
import { realClock } from "../../../src/core/seams/clock.ts";
import { RealDisk } from "../../../src/core/seams/disk-real.ts";
import { History } from "../../../src/hub/history/history.ts";
import { lockFile } from "../../../src/native/system.ts";

export const START_MS = Date.UTC(2026, 10, 25, 12);

export class TestHistory implements Disposable {
  readonly directory = mkdtempSync(join(tmpdir(), "node-x-history-"));
  readonly path = join(this.directory, "history.sqlite");
  readonly lines: string[] = [];
  nowMs = START_MS;
  bytesMax = 64 * 1024 * 1024;

  open(days = 60): Promise<History> {
    const clock = { ...realClock, nowMs: () => this.nowMs, monotonicMs: () => this.nowMs };
    const sink = { write: (line: string) => void this.lines.push(line) };
    return History.open({
      clock,
      disk: new RealDisk(lockFile),
      log: createLog(realClock, "history", logOutput("trace", [{ sink, format: formatText }])),
      path: this.path,
      days,
      bytesMax: this.bytesMax,
    });
  }

  /** Records one value of one figure each `stepMs`, `count` times. */
  fill(history: History, count: number, valueOf: (index: number) => number | undefined, stepMs = 1000): void {
    for (let index = 0; index < count; index++) {
      const value = valueOf(index);
      const figures = new Map(value === undefined ? [] : [["requests", value]]);
      history.record(this.nowMs, new Map([["p.dht0", figures]]));
      this.nowMs += stepMs;
    }
  }

  [Symbol.dispose](): void {
    rmSync(this.directory, { recursive: true, force: true });
  }
}
