import { expect, test } from "bun:test";
import { crc32c } from "../../../src/core/crc32c.ts";
import { inspectLog, problemText, salvageLog, type Loss } from "../../../src/core/append-log/inspect.ts";
import { SimDisk } from "../../../src/core/sim/disk.ts";
import { Scheduler } from "../../../src/core/sim/scheduler.ts";
import { DIRECTORY, record, whole, type Step } from "../../crash/log-harness.ts";

const history: readonly Step[] = [
  { do: "append", bytes: 100 },
  { do: "compact" },
  { do: "append", bytes: 300 },
  { do: "flush" },
  { do: "append", bytes: 1100 },
  { do: "flush" },
  { do: "append", bytes: 900 },
  { do: "flush" },
];

/** The disk at the end of the history, as a kill leaves it. */
function stopped(steps: readonly Step[]): { scheduler: Scheduler; disk: SimDisk; stream: Uint8Array } {
  const recording = record(steps, whole);
  const scheduler = new Scheduler(1);
  const disk = new SimDisk(scheduler);
  disk.restore((recording.points.at(-1) as (typeof recording.points)[number]).disk);
  return { scheduler, disk, stream: recording.stream };
}

const inspect = (scheduler: Scheduler, disk: SimDisk) =>
  scheduler.run(() => inspectLog({ disk, directory: DIRECTORY, crc32c, readChunkBytes: 256 }));

test("describes a whole directory and changes nothing", () => {
  const { scheduler, disk } = stopped([...history, { do: "close" }]);
  let changes = 0;
  disk.onChange = (operation) => {
    if (!["list", "open", "read", "size", "close"].includes(operation)) changes += 1;
  };
  const report = inspect(scheduler, disk);
  expect(report.problems).toEqual([]);
  expect(report.leftovers).toEqual([]);
  expect(
    report.files.map(({ name, frames, payloadBytes, position }) => [name, frames, payloadBytes, position]),
  ).toEqual([
    ["snapshot-0000000002.nxl", 1, 100, 100],
    ["log-0000000002.nxl", 2, 1400, 100],
    ["log-0000000003.nxl", 1, 900, 1500],
  ]);
  expect(report.files.every(({ isSealed }) => isSealed)).toBe(true);
  expect(changes).toBe(0);
});

test("tells an unsealed end and a torn tail from damage", () => {
  const { scheduler, disk } = stopped(history);
  expect(inspect(scheduler, disk).files.at(-1)?.isSealed).toBe(false);
  disk.flipBit(`${DIRECTORY}/log-0000000003.nxl`, 8 * 200);
  const torn = inspect(scheduler, disk);
  expect(torn.problems).toEqual([]);
  expect(torn.files.at(-1)?.tornBytes).toBe(932);
});

test("reports damage with file and byte, and salvage takes everything else", () => {
  const { scheduler, disk, stream } = stopped([...history, { do: "close" }]);
  disk.flipBit(`${DIRECTORY}/log-0000000002.nxl`, 8 * 100); // in the first group: bytes 64 to 400
  const { problems } = inspect(scheduler, disk);
  expect(problems.map(problemText)[0]).toBe(
    "/data/log/log-0000000002.nxl, byte 64: a frame is damaged, a valid one follows at byte 400",
  );
  const saved: Uint8Array[] = [];
  const options = { disk, directory: DIRECTORY, crc32c, readChunkBytes: 256 };
  const losses: Loss[] = [];
  const salvage = () =>
    salvageLog(
      options,
      (payload) => void saved.push(payload.slice()),
      (loss) => losses.push(loss),
    );
  expect(scheduler.run(salvage)).toEqual({ frames: 3, payloadBytes: 2100 });
  expect(losses).toEqual([
    { path: "/data/log/log-0000000002.nxl", offset: 64, bytes: 336, what: "damaged", isTornTail: false },
  ]);
  const expected = Buffer.concat([stream.subarray(0, 100), stream.subarray(400)]);
  expect(Buffer.compare(Buffer.concat(saved), expected)).toBe(0);
});

test("reports a missing segment", () => {
  const { scheduler, disk } = stopped([...history, { do: "close" }]);
  scheduler.run(() => disk.remove(`${DIRECTORY}/log-0000000002.nxl`));
  expect(inspect(scheduler, disk).problems.map(problemText)).toEqual([
    "/data/log/log-0000000002.nxl, byte 0: this segment is missing",
  ]);
});
