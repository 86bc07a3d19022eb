/**
 * kill -9 on a real process with a real disk, again and again on one directory.
 */
import { expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { LogFile } from "../../src/core/append-log/log-file.ts";
import { seededRandom } from "../../src/core/seams/random.ts";
import { realWorld } from "../../src/core/seams/world-real.ts";
import { crc32c } from "../../src/native/crc32c.ts";
import { recordAt } from "./log-kill-child.ts";

const ROUNDS = 15;

/** The stream in the directory, checked record by record; its length. */
async function verify(directory: string): Promise<number> {
  const parts: Uint8Array[] = [];
  const keep = (payload: Uint8Array) => void parts.push(payload.slice());
  const options = {
    ...realWorld(),
    crc32c,
    directory,
    payloadFormat: 1,
    listener: { onDurable: () => undefined },
  };
  const log = await LogFile.open(options, { onSnapshot: keep, onFrame: keep });
  await log.close();
  const stream = Buffer.concat(parts);
  let position = 0;
  while (position < stream.byteLength) {
    const record = recordAt(position);
    const found = stream.subarray(position, position + record.byteLength);
    if (Buffer.compare(found, record) !== 0)
      throw new Error(`the record at byte ${position} is not the one appended`);
    position += record.byteLength;
  }
  expect(log.position).toBe(position);
  return position;
}

/**
 * Lets a process append until it has reported `reports` times, kills it, and returns the last position it
 * reported.
 */
async function appendAndKill(directory: string, reports: number): Promise<number> {
  const child = Bun.spawn([process.execPath, join(import.meta.dir, "log-kill-child.ts"), directory], {
    stdin: "ignore",
    stdout: "pipe",
    stderr: "inherit",
  });
  let output = "";
  let isKilled = false;
  const decoder = new TextDecoder();
  for await (const chunk of child.stdout) {
    output += decoder.decode(chunk, { stream: true });
    if (!isKilled && output.split("\n").length > reports) {
      isKilled = true;
      child.kill("SIGKILL");
    }
  }
  await child.exited;
  // The last line may be cut short: only whole lines count.
  return Number(output.slice(0, output.lastIndexOf("\n")).split("\n").at(-1));
}

test(`nothing acknowledged is lost by kill -9 (${ROUNDS} rounds)`, async () => {
  const directory = join(mkdtempSync(join(tmpdir(), "node-x-kill-")), "log");
  const random = seededRandom(9);
  try {
    let certain = 0;
    for (let round = 0; round < ROUNDS; round++) {
      const reported = await appendAndKill(directory, 1 + random.integer(300));
      expect(reported).toBeGreaterThan(certain);
      const found = await verify(directory);
      expect(found).toBeGreaterThanOrEqual(reported);
      certain = found;
    }
    console.log(`${certain} bytes after ${ROUNDS} kills`);
  } finally {
    rmSync(join(directory, ".."), { recursive: true });
  }
}, 120_000);
