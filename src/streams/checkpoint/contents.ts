/**
 * What a state log amounts to: the newest committed checkpoint, and the one behind it that was prepared.
 *
 * Invariant: states get into the stores only as parts of a prepared checkpoint, and what a rollback made void never does.
 * So the stores always hold one checkpoint or the other, never half of one.
 */
import { copyOf, type ByteReader } from "../wire/bytes.ts";
import type { StateStore } from "../state/store.ts";
import type { StreamPositions } from "../worker/stream-registry.ts";
import { readStateRecord, type StateRecord } from "./records.ts";

/** Everything a checkpoint holds besides the states of keys. */
export interface CheckpointMeta {
  /** By source: what it needs to go on behind the records that are in the checkpoint. */
  sources: Record<string, unknown>;
  /** By sink: how much of its output is in the checkpoint. */
  sinks: Record<string, unknown>;
  /** By windowed step: the watermark. */
  watermarks: Record<string, number>;
  /** At the initializer: positions of streams whose worker has left. */
  streams?: StreamPositions;
}

export interface Checkpoint {
  /** 0: before the first. */
  id: number;
  meta: CheckpointMeta;
  /** Who the workers are and which keys are whose; the committing worker's words. */
  layout: string;
  /** By sink, output that goes out only with this checkpoint. */
  outputs: Map<number, Uint8Array[]>;
}

export const noMeta = (): CheckpointMeta => ({ sources: {}, sinks: {}, watermarks: {} });
export const checkpointZero = (): Checkpoint => ({ id: 0, meta: noMeta(), layout: "", outputs: new Map() });

type Change = Extract<StateRecord, { type: "put" | "remove" | "output" }>;

export class Contents {
  committed = checkpointZero();
  prepared: Checkpoint | undefined;
  /** The newest `cluster` record; "" when there is none. */
  cluster = "";
  /** The newest checkpoint whose output went out. */
  releasedId = 0;
  entries = 0;
  readonly #stores: readonly StateStore[];
  #steps: (StateStore | undefined)[] = [];
  #names: readonly string[] = [];
  #staged: Change[] = [];
  /** Steps that the log has states of and the application does not. */
  readonly unknownSteps = new Set<string>();

  constructor(stores: readonly StateStore[]) {
    this.#stores = stores;
  }

  /** Takes whole records. Throws WireError. */
  read(reader: ByteReader): void {
    while (reader.remaining > 0) this.#apply(readStateRecord(reader));
  }

  /** After the last record: what no checkpoint took in is void. */
  end(): void {
    this.#staged = [];
  }

  #apply(record: StateRecord): void {
    switch (record.type) {
      case "put":
        this.entries += 1;
        record.image = copyOf(record.image);
        this.#staged.push(record);
        break;
      case "remove":
        this.#staged.push(record);
        break;
      case "output":
        record.bytes = copyOf(record.bytes);
        this.#staged.push(record);
        break;
      case "prepared":
        this.#prepare(record.checkpoint, JSON.parse(record.meta) as CheckpointMeta);
        break;
      case "committed":
        if (this.prepared?.id === record.checkpoint) this.#commit(record.layout);
        break;
      case "rollback":
        this.#rollBack(record.checkpoint);
        break;
      case "steps":
        this.#names = record.names;
        this.#steps = record.names.map((name) => this.#stores.find((store) => store.name === name));
        break;
      case "cluster":
        this.cluster = record.json;
        break;
      case "released":
        this.releasedId = record.checkpoint;
        break;
      case "forgotten":
        this.#staged = [];
        this.prepared = undefined;
        this.committed = checkpointZero();
        this.releasedId = 0;
        for (const store of this.#stores) store.clear();
        break;
    }
  }

  #prepare(id: number, meta: CheckpointMeta): void {
    // The next checkpoint is begun only when the one before is committed everywhere.
    if (this.prepared !== undefined) this.#commit(this.committed.layout);
    const outputs = new Map<number, Uint8Array[]>();
    for (const change of this.#staged) {
      if (change.type !== "output") this.#load(change);
      else if (outputs.get(change.sink)?.push(change.bytes) === undefined)
        outputs.set(change.sink, [change.bytes]);
    }
    this.#staged = [];
    this.prepared = { id, meta, layout: this.committed.layout, outputs };
  }

  #load(change: Exclude<Change, { type: "output" }>): void {
    const store = this.#steps[change.step];
    if (store === undefined) this.unknownSteps.add(this.#names[change.step] ?? `step ${change.step}`);
    else store.loadPrepared(change.key, change.type === "put" ? change.image : undefined);
  }

  #commit(layout: string): void {
    this.committed = { ...(this.prepared as Checkpoint), layout };
    this.prepared = undefined;
    for (const store of this.#stores) store.commit();
  }

  #rollBack(id: number): void {
    this.#staged = [];
    if (this.prepared === undefined) return;
    if (this.prepared.id === id) this.#commit(this.committed.layout);
    else {
      this.prepared = undefined;
      for (const store of this.#stores) store.rollBack(true);
    }
  }
}
