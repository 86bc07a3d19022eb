/**
 * A process to kill: appends to the log in argv[2] as fast as it is acknowledged, and prints what is durable.
 */
import { writeSync } from "node:fs";
import { LogFile } from "../../src/core/append-log/log-file.ts";
import { realWorld } from "../../src/core/seams/world-real.ts";
import { crc32c } from "../../src/native/crc32c.ts";

let length = 0;

/** Record `n` at stream position `p` is a function of `p`, so that whoever reads the stream can check it. */
export function recordAt(position: number): Uint8Array {
  const record = new Uint8Array(1 + (position % 257));
  for (let index = 0; index < record.byteLength; index++) record[index] = (position * 31 + index * 7) & 0xff;
  return record;
}

/** The stream so far: the state of this owner is everything it appended. `end` is fixed when this is called. */
function* streamUpTo(end: number): Generator<Uint8Array> {
  for (let at = 0; at < end; at += recordAt(at).byteLength) yield recordAt(at);
}

if (import.meta.main) {
  let log: LogFile;
  const append = () => {
    for (let count = 0; count < 20; count++) length = log.append(recordAt(length));
    if (log.isCompactionDue(200_000, 0)) void log.compact(() => streamUpTo(length));
  };
  const onDurable = (position: number) => {
    writeSync(1, `${position}\n`);
    append();
  };
  const count = (payload: Uint8Array) => void (length += payload.byteLength);
  log = await LogFile.open(
    {
      ...realWorld(),
      crc32c,
      directory: process.argv[2] as string,
      payloadFormat: 1,
      listener: { onDurable },
    },
    { onSnapshot: count, onFrame: count },
  );
  append();
}
