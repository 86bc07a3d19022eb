/** A simulated disk with a dump directory, loaded into a store of its own; what the loader says is kept. */
import { loadDumps, type LoadedDump, type LoadOptions } from "../../../src/channels/tcm/load.ts";
import { NxError } from "../../../src/core/errors.ts";
import { createLog, logOutput, type Log, type LogRecord } from "../../../src/core/logging/log.ts";
import type { Disk } from "../../../src/core/seams/disk.ts";
import { SimClock } from "../../../src/core/sim/clock.ts";
import type { DirectoryNode } from "../../../src/core/sim/disk-state.ts";
import { SimDisk } from "../../../src/core/sim/disk.ts";
import { Scheduler } from "../../../src/core/sim/scheduler.ts";
import { Store } from "../../../src/native/store.ts";

export const DIRECTORY = "/data";
export const everyHash = { min: 0n, max: 0xffff_ffff_ffff_ffffn };

export class DumpWorld {
  readonly scheduler: Scheduler;
  readonly disk: SimDisk;
  readonly clock: SimClock;
  readonly random;
  readonly records: LogRecord[] = [];
  readonly log: Log;
  readonly stores: Store[] = [];

  constructor(seed = 1, state?: DirectoryNode) {
    this.scheduler = new Scheduler(seed);
    this.disk = new SimDisk(this.scheduler);
    this.clock = new SimClock(this.scheduler);
    this.random = this.scheduler.fork();
    const keep = {
      sink: { write: () => {} },
      format: (record: LogRecord) => (this.records.push(record), ""),
    };
    this.log = createLog(this.clock, "test", logOutput("trace", [keep]));
    if (state === undefined)
      this.run(() => this.disk.makeDirectory(DIRECTORY).then(() => this.disk.syncDirectory("/")));
    else this.disk.restore(state);
  }

  run<Value>(work: () => Promise<Value>): Value {
    return this.scheduler.run(work, { timeLimitMs: 60_000_000 });
  }

  store(): Store {
    const store = new Store({ seed: new Uint8Array(16) });
    this.stores.push(store);
    return store;
  }

  /** Files by name, durable. */
  put(files: Record<string, Uint8Array | string>): void {
    this.run(async () => {
      for (const [name, content] of Object.entries(files)) {
        const file = await this.disk.open(`${DIRECTORY}/${name}`, "create");
        await file.truncate(0);
        await file.write(typeof content === "string" ? Buffer.from(content) : content, 0);
        await file.sync();
        await file.close();
      }
      await this.disk.syncDirectory(DIRECTORY);
    });
  }

  get(name: string): Buffer {
    return this.run(() => readFile(this.disk, `${DIRECTORY}/${name}`));
  }

  names(): string[] {
    return this.run(() => this.disk.list(DIRECTORY)).map(({ name }) => name);
  }

  load(options: Partial<LoadOptions> = {}): { store: Store; loaded: LoadedDump[] } {
    const store = this.store();
    const loaded = this.run(() =>
      loadDumps({
        world: this,
        log: this.log,
        directory: DIRECTORY,
        store,
        valueBytesMax: 65_536,
        range: everyHash,
        outOfRange: "load",
        abortAfterAllOutOfRange: 10_000,
        progress: () => {},
        ...options,
      }),
    );
    return { store, loaded };
  }

  /** The error that loading ends with. */
  failure(options: Partial<LoadOptions> = {}): NxError {
    try {
      this.load(options);
    } catch (error) {
      if (error instanceof NxError) return error;
      throw error;
    }
    throw new Error("loading did not fail");
  }

  said(level: LogRecord["level"]): string[] {
    return this.records.filter((record) => record.level === level).map((record) => record.message);
  }

  close(): void {
    for (const store of this.stores) store.close();
  }
}

export async function readFile(disk: Disk, path: string): Promise<Buffer> {
  const file = await disk.open(path, "read");
  const bytes = Buffer.alloc(await file.size());
  await file.read(bytes, 0);
  await file.close();
  return bytes;
}

const word = (value: number | bigint) => {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64LE(BigInt(value));
  return bytes;
};

/** One record as spec 5.3 draws it, with any key. */
export function record(key: string | Uint8Array, value: string | Uint8Array): Buffer {
  const [keyBytes, valueBytes] = [Buffer.from(key as string), Buffer.from(value as string)];
  return Buffer.concat([word(keyBytes.length), keyBytes, word(valueBytes.length), valueBytes]);
}

/** A `.tcm` of the current format. */
export function tcmOf(...records: Buffer[]): Buffer {
  const body = Buffer.concat([word(0), ...records, word(0)]);
  return Buffer.concat([body, Buffer.alloc((512 - (body.length % 512)) % 512)]);
}

/** A `.tcm` of the older format, with the count in its header. */
export const oldTcmOf = (count: number, ...records: Buffer[]) => Buffer.concat([word(count), ...records]);

/** Everything in a store: channel/key → value, with the expiry behind it if there is one. */
export function contentOf(store: Store, nowMs = 0): Record<string, string> {
  const content: Record<string, string> = {};
  for (const name of store.channelNames()) {
    const channel = store.channel(name);
    let cursor = 0;
    do {
      const step = channel?.scan(cursor, nowMs) ?? { cursor: 0, records: [] };
      for (const { key, value, expiresAtMs } of step.records) {
        const text = Buffer.from(value).toString("latin1");
        content[`${name}/${Buffer.from(key).toString("latin1")}`] =
          expiresAtMs === 0 ? text : `${text}@${expiresAtMs}`;
      }
      cursor = step.cursor;
    } while (cursor !== 0);
  }
  return content;
}

export function fill(store: Store, content: Record<string, string>): void {
  for (const [path, text] of Object.entries(content)) {
    const slash = path.indexOf("/");
    const [value = "", expiry = "0"] = text.split("@");
    const channel = store.openChannel(path.slice(0, slash));
    channel.put(Buffer.from(path.slice(slash + 1), "latin1"), Buffer.from(value, "latin1"), Number(expiry));
  }
}
