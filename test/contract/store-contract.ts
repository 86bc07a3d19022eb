/**
 * The contract of a record store as random programs: run against a subject and the model side by side, every
 * answer must agree; then the state that is rebuilt from effects, and from an export taken while writes went
 * on, must be the state that is there.
 */
import fc from "fast-check";
import { StoreModel } from "../../src/channels/store-model.ts";
import type { RecordStore } from "../../src/native/record-store.ts";

export type StoreFactory = () => RecordStore;

export type Command =
  | { do: "put"; channel: string; key: string; bytes: number; ttlMs: number }
  | { do: "get" | "remove"; channel: string; key: string }
  | { do: "patch"; channel: string; key: string; offset: number; bytes: number }
  | { do: "expire"; channel: string; key: string; ttlMs: number }
  | { do: "clock"; byMs: number }
  | { do: "tick" }
  | { do: "removeChannel"; channel: string }
  | { do: "bulkPut" | "bulkRemove"; channel: string; from: number; count: number }
  | { do: "scan" }
  | { do: "export" };

const channels = ["0", "a", "Channel_-9", "00000000000000aa"];
const keys = [
  ...["", "k", "key", "x".repeat(300), "\0\xff", "k\0"],
  ...["0000000000000000", "00000000000000aa", "ffffffffffffffff", "0123456789abcdef"],
  ...[
    "0123456789abcdeF",
    "0123456789abcdeg",
    "0123456789abcde",
    "0123456789abcdef0",
    "/123456789abcdef",
    ":123456789abcdef",
  ],
];
/** Around the borders of the allocator's size classes. */
const sizes = [
  0, 1, 7, 8, 9, 40, 44, 45, 100, 500, 512, 900, 1016, 1024, 1030, 3000, 8128, 16300, 16320, 17000, 40000,
];

const channel = fc.constantFrom(...channels);
const key = fc.constantFrom(...keys);
const bytes = fc.oneof({ weight: 3, arbitrary: fc.nat(64) }, fc.constantFrom(...sizes));
const ttlMs = fc.oneof(fc.constant(0), fc.integer({ min: 1, max: 500 }));

const command: fc.Arbitrary<Command> = fc.oneof(
  { weight: 6, arbitrary: fc.record({ do: fc.constant("put" as const), channel, key, bytes, ttlMs }) },
  {
    weight: 3,
    arbitrary: fc.record({ do: fc.constantFrom("get" as const, "remove" as const), channel, key }),
  },
  {
    weight: 4,
    arbitrary: fc.record({ do: fc.constant("patch" as const), channel, key, offset: bytes, bytes }),
  },
  { weight: 2, arbitrary: fc.record({ do: fc.constant("expire" as const), channel, key, ttlMs }) },
  {
    weight: 2,
    arbitrary: fc.record({ do: fc.constant("clock" as const), byMs: fc.integer({ min: -300, max: 300 }) }),
  },
  { weight: 1, arbitrary: fc.constant({ do: "tick" as const }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("removeChannel" as const), channel }) },
  {
    weight: 2,
    arbitrary: fc.record({
      do: fc.constantFrom("bulkPut" as const, "bulkRemove" as const),
      channel,
      from: fc.nat(200),
      count: fc.nat(300),
    }),
  },
  { weight: 4, arbitrary: fc.constant({ do: "scan" as const }) },
  { weight: 4, arbitrary: fc.constant({ do: "export" as const }) },
);

export const programs = fc.array(command, { maxLength: 80, size: "max" });

/**
 * Arguments out of a program are numbers; values must differ from one step to the next, or a lost write goes
 * unseen.
 */
function valueOf(length: number, step: number): Uint8Array {
  return Uint8Array.from({ length }, (_, index) => (index * 31 + step * 7 + (index >> 8)) & 0xff);
}

const keyBytes = (text: string) => new Uint8Array(Buffer.from(text, "latin1"));
const keyText = (key: Uint8Array) => Buffer.from(key).toString("latin1");

/** All records, expired ones too: at time 0 nothing has expired. */
export function dump(store: RecordStore): Map<string, string> {
  const all = new Map<string, string>();
  for (const name of store.channelNames()) {
    let cursor = 0;
    do {
      const step = store.channel(name)?.scan(cursor, 0);
      if (step === undefined) throw new Error(`channel ${name} is listed but not there`);
      for (const { key, value, expiresAtMs } of step.records) {
        all.set(`${name}/${keyText(key)}`, `${expiresAtMs}:${Buffer.from(value).toString("latin1")}`);
      }
      cursor = step.cursor;
    } while (cursor !== 0);
  }
  return all;
}

export class Disagreement extends Error {}

function mustEqual(what: string, got: unknown, wanted: unknown): void {
  if (!Bun.deepEquals(got, wanted)) {
    throw new Disagreement(
      `${what}: got ${Bun.inspect(got).slice(0, 300)}, wanted ${Bun.inspect(wanted).slice(0, 300)}`,
    );
  }
}

function mustEqualState(what: string, got: RecordStore, wanted: RecordStore): void {
  const [gotAll, wantedAll] = [dump(got), dump(wanted)];
  for (const [key, value] of wantedAll)
    mustEqual(`${what}: record ${key.slice(0, 40)}`, gotAll.get(key), value);
  mustEqual(`${what}: number of records`, gotAll.size, wantedAll.size);
}

/** A scan of channel `a` that steps forward between the commands of a program. */
class SlowScan {
  #cursor = 0;
  #mustSee: Set<string> | undefined;
  readonly #seen = new Set<string>();

  constructor(model: RecordStore, nowMs: number) {
    this.#mustSee = new Set(liveKeys(model, nowMs));
  }

  /** Call after each command: what went away in between need not be seen. */
  afterCommand(model: RecordStore, nowMs: number): void {
    const live = new Set(liveKeys(model, nowMs));
    for (const key of this.#mustSee ?? []) if (!live.has(key)) this.#mustSee?.delete(key);
  }

  /** True when the scan is complete. */
  step(subject: RecordStore, nowMs: number): boolean {
    const step = subject.channel("a")?.scan(this.#cursor, nowMs);
    if (step === undefined) return true;
    for (const { key } of step.records) this.#seen.add(keyText(key));
    this.#cursor = step.cursor;
    if (step.cursor !== 0) return false;
    for (const key of this.#mustSee ?? []) {
      if (!this.#seen.has(key))
        throw new Disagreement(`scan missed ${JSON.stringify(key)}, which was there all the time`);
    }
    return true;
  }
}

function liveKeys(store: RecordStore, nowMs: number): string[] {
  return (
    store
      .channel("a")
      ?.scan(0, nowMs)
      .records.map(({ key }) => keyText(key)) ?? []
  );
}

interface Run {
  subject: RecordStore;
  model: StoreModel;
  make: StoreFactory;
  nowMs: number;
  /** All effects of the subject, in pieces. */
  effects: Uint8Array[];
  modelEffects: Uint8Array[];
  scan: SlowScan | undefined;
  exporting: { slices: Iterator<Uint8Array>; taken: Uint8Array[]; effectsFrom: number } | undefined;
}

/** Runs one program; throws Disagreement when the subject is wrong. */
export function runProgram(make: StoreFactory, program: Command[]): void {
  const run: Run = {
    ...{ subject: make(), model: new StoreModel(), make, nowMs: 1_000_000 },
    ...{ effects: [], modelEffects: [], scan: undefined, exporting: undefined },
  };
  try {
    run.subject.setLogging(true);
    run.model.setLogging(true);
    program.forEach((command, step) => {
      runCommand(run, command, step);
      run.effects.push(run.subject.takeEffects());
      run.modelEffects.push(run.model.takeEffects());
      run.scan?.afterCommand(run.model, run.nowMs);
    });
    while (run.exporting !== undefined) stepExport(run);
    finish(run);
  } finally {
    run.subject.close();
  }
}

function finish(run: Run): void {
  mustEqualState("at the end", run.subject, run.model);
  const { memoryBytes: _bytes, memoryPeakBytes: _peak, ...counts } = run.subject.stats();
  const { memoryBytes: _modelBytes, memoryPeakBytes: _modelPeak, ...modelCounts } = run.model.stats();
  mustEqual("counters", counts, modelCounts);
  mustRebuild(run, "replay of the effects", run.effects);
  mustRebuild(run, "replay of the model's effects", run.modelEffects);
  const model = new StoreModel();
  model.replay(Buffer.concat(run.effects));
  mustEqualState("replay of the effects into the model", model, run.model);
  for (const byMs of [0, 50, 50, 100, 150, 200]) {
    run.nowMs += byMs;
    while (run.subject.tick(run.nowMs, 100) !== 0) continue;
    while (run.model.tick(run.nowMs, 100) !== 0) continue;
    mustEqualState(`after expiry up to ${run.nowMs}`, run.subject, run.model);
  }
  run.effects.push(run.subject.takeEffects());
  mustRebuild(run, "replay of the effects, expiry included", run.effects);
}

function mustRebuild(run: Run, what: string, pieces: Uint8Array[]): void {
  const rebuilt = run.make();
  try {
    const [first, rest] = [pieces.slice(0, pieces.length / 2), pieces.slice(pieces.length / 2)];
    rebuilt.replay(Buffer.concat(first));
    rebuilt.replay(Buffer.concat(rest));
    mustEqualState(what, rebuilt, run.subject);
  } finally {
    rebuilt.close();
  }
}

function stepExport(run: Run): void {
  run.exporting ??= {
    slices: run.subject.exportSlices(1)[Symbol.iterator](),
    taken: [],
    effectsFrom: run.effects.length,
  };
  const { slices, taken, effectsFrom } = run.exporting;
  const slice = slices.next();
  if (slice.done !== true) {
    taken.push(slice.value.slice());
    return;
  }
  run.exporting = undefined;
  mustRebuild(run, "export and the effects since", [...taken, ...run.effects.slice(effectsFrom)]);
}

function runCommand(run: Run, command: Command, step: number): void {
  const { subject, model, nowMs } = run;
  const both = <Result>(what: string, act: (store: RecordStore) => Result) =>
    mustEqual(what, act(subject), act(model));
  const expiryOf = (ttlMs: number) => (ttlMs === 0 ? 0 : nowMs + ttlMs);
  switch (command.do) {
    case "put": {
      const value = valueOf(command.bytes, step);
      const expiresAtMs = expiryOf(command.ttlMs);
      both("put", (store) =>
        store.openChannel(command.channel).put(keyBytes(command.key), value, expiresAtMs),
      );
      return;
    }
    case "get":
      both("get", (store) => {
        const record = store.channel(command.channel)?.get(keyBytes(command.key), nowMs);
        return record && [Buffer.from(record.value).toString("latin1"), record.expiresAtMs];
      });
      both("records", (store) => store.channel(command.channel)?.records);
      return;
    case "remove":
      both("remove", (store) => store.channel(command.channel)?.remove(keyBytes(command.key), nowMs));
      return;
    case "patch": {
      const value = valueOf(command.bytes, step);
      both("patch", (store) =>
        store.openChannel(command.channel).patch(keyBytes(command.key), command.offset, value, nowMs),
      );
      return;
    }
    case "expire":
      both("expire", (store) =>
        store.channel(command.channel)?.expire(keyBytes(command.key), expiryOf(command.ttlMs), nowMs),
      );
      return;
    case "clock":
      run.nowMs += command.byMs;
      return;
    case "tick":
      while (subject.tick(nowMs, 7) !== 0) continue;
      while (model.tick(nowMs, 7) !== 0) continue;
      return;
    case "removeChannel":
      both("removeChannel", (store) => store.removeChannel(command.channel));
      if (command.channel === "a") run.scan = undefined;
      return;
    case "bulkPut":
    case "bulkRemove":
      for (let index = command.from; index < command.from + command.count; index++) {
        const key = keyBytes(index % 2 ? `bulk ${index}` : index.toString(16).padStart(16, "0"));
        if (command.do === "bulkPut")
          both("put", (store) => store.openChannel(command.channel).put(key, valueOf(index % 90, step)));
        else both("remove", (store) => store.channel(command.channel)?.remove(key, nowMs));
      }
      return;
    case "scan":
      run.scan ??= new SlowScan(model, nowMs);
      if (run.scan.step(subject, nowMs)) run.scan = undefined;
      return;
    case "export":
      stepExport(run);
      return;
  }
}
