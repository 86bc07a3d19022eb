/** The dht node's legacy swarm half, with the redistribution that a swarm client may ask for. */
import { type HashRange, LegacyEngine, legacyDefaults } from "../../native/legacy.ts";
import { LegacySide as CommonLegacySide } from "../legacy-side.ts";
import { tlsToNodes } from "../tls-to-nodes.ts";
import type { RangedNode } from "../wire/legacy/client.ts";
import { Command } from "../wire/legacy/protocol.ts";
import { keepHashRange, type OwnedRange } from "./hash-range.ts";
import { readRedistribution, Redistribution } from "./redistribute.ts";
import type { SideOptions } from "./side.ts";

type OnRange = (owned: OwnedRange, others: readonly RangedNode[]) => void;

export class LegacySide extends CommonLegacySide {
  readonly #onRange: OnRange;
  readonly #redistribution: Redistribution;
  /** As it was before the last redistribution. */
  #owned: OwnedRange;

  /** `onRange` is told of the new range and the nodes of a redistribution. */
  constructor(options: SideOptions, owned: OwnedRange, onRange: OnRange) {
    const { context, durable, config } = options;
    const { net, clock, log } = context;
    const { swarm } = config();
    const engine = new LegacyEngine(durable.store, {
      ...legacyDefaults,
      batchBytes: swarm.batchBytes,
      arrayBytesMax: Math.max(legacyDefaults.arrayBytesMax, swarm.batchBytes),
      isOwnershipChecked: swarm.isOwnershipChecked,
      redistributePercent: swarm.redistributePercent,
      sizeBytesMax: swarm.sizeBytesMax,
    });
    engine.range = owned.range;
    engine.settled = owned.settled;
    super({ ...options, codes: Command }, engine);
    this.#onRange = onRange;
    this.#owned = owned;
    this.#redistribution = new Redistribution({
      net,
      toNodes: tlsToNodes(context),
      clock,
      log: log.child("redistribution"),
      engine,
      durable,
      revert: (previous) => {
        this.#owned = previous;
        engine.range = previous.range;
        engine.settled = previous.settled;
        onRange(previous, []);
      },
      save: () => keepHashRange(context, config().hashRange, this.#owned),
    });
  }

  /** A Redistribute request. */
  protected override onTask(): void {
    const request = this.engine.takeTask();
    const previous = this.#owned;
    this.#owned = { range: this.engine.range, settled: this.engine.settled };
    this.#redistribution.start(request, previous);
    this.#onRange(this.#owned, readRedistribution(request).nodes);
  }

  /** The hashes that this node owns now. */
  get range(): HashRange {
    return this.engine.range;
  }

  override get stats() {
    return { ...super.stats, ...this.engine.size() };
  }

  /** Ends a redistribution that is under way. */
  stopRedistribution(): Promise<void> {
    return this.#redistribution.stop();
  }
}
