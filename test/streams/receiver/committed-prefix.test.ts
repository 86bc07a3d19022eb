/** The comparison that a soak makes each second can fail: a lost, a repeated and a torn record are found. */
import { afterAll, expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { entryLine } from "../../../src/streams/receiver/transaction-log.ts";
import { detectorOutput } from "../../../src/streams/validate/oracle.ts";
import { frameOf } from "../../../src/streams/wire/frame.ts";
import { OUTPUT_STREAM } from "../../../src/streams/wire/two-phase.ts";
import { CommittedPrefix } from "../../e2e/committed-prefix.ts";

const directory = mkdtempSync(join(tmpdir(), "node-x-prefix-"));
afterAll(() => rmSync(directory, { recursive: true }));

const frames = (bodies: readonly string[]) => Buffer.concat(bodies.map((body) => frameOf(Buffer.from(body))));
const right = [...detectorOutput("key_1", 6)];

/** The file of a worker, of which all but the last `open` bytes are committed. */
function write(bytes: Buffer, open = 0): void {
  const range = { streamId: OUTPUT_STREAM, start: 0, end: bytes.byteLength - open };
  const entry = { seconds: 1, transaction: "w:c_id=1", ranges: [range] };
  writeFileSync(join(directory, "out.w"), bytes);
  writeFileSync(
    join(directory, "out.w.txnlog"),
    entryLine({ ...entry, outcome: "1-ok" }) + entryLine({ ...entry, outcome: "2-ok" }),
  );
}

test("a beginning of the right output passes, look by look; what is not committed is not looked at", () => {
  const committed = new CommittedPrefix(directory);
  write(frames(right.slice(0, 2)));
  committed.look();
  write(Buffer.concat([frames(right.slice(0, 4)), Buffer.from("rubbish")]), 7);
  committed.look();
  expect(committed.records).toBe(4);
});

test.each([
  ["lost", [...right.slice(0, 2), ...right.slice(3)]],
  ["repeated", [...right.slice(0, 2), ...right.slice(1)]],
  ["of another window", ["(key_1.TraceID-1.TraceWindow-1,[0,0,0,2])"]],
])("a record that is %s is found", (_name, bodies) => {
  write(frames(bodies));
  expect(() => new CommittedPrefix(directory).look()).toThrow("should");
});

test("a torn record at the end of what is committed is found, and output that was taken back", () => {
  const committed = new CommittedPrefix(directory);
  write(frames(right).subarray(0, -3));
  expect(() => new CommittedPrefix(directory).look()).toThrow("within a record");
  write(frames(right));
  committed.look();
  write(frames(right.slice(0, 2)));
  expect(() => committed.look()).toThrow("were committed, now");
});
