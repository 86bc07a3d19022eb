/** The node's legacy swarm half: engine, listener, and the redistribution that a swarm client may ask for. */
import { type HashRange, type LegacyConnection, LegacyEngine, legacyDefaults } from "../../native/legacy.ts";
import type { RequestSource } from "../request-figures.ts";
import type { RangedNode } from "../wire/legacy/client.ts";
import { Command } from "../wire/legacy/protocol.ts";
import { keepHashRange, type OwnedRange } from "./hash-range.ts";
import { tlsToNodes } from "../tls-to-nodes.ts";
import { LegacyPort } from "../legacy-port.ts";
import { readRedistribution, Redistribution } from "./redistribute.ts";
import type { Side, SideFigures } from "../side.ts";
import type { SideOptions } from "./side.ts";

export class SwarmSide implements Side {
  readonly #options: SideOptions;
  readonly #engine: LegacyEngine;
  readonly #port: LegacyPort<LegacyConnection>;
  readonly #redistribution: Redistribution;
  /** As it was before the last redistribution. */
  #owned: OwnedRange;

  /** `onRange` is told of the new range and the nodes of a redistribution. */
  constructor(
    options: SideOptions,
    owned: OwnedRange,
    onRange: (owned: OwnedRange, others: readonly RangedNode[]) => void,
  ) {
    this.#options = options;
    this.#owned = owned;
    const { context, durable, gate, config, limits } = options;
    const { net, clock, log, tls } = context;
    const { host, port, swarm } = config();
    this.#engine = new LegacyEngine(durable.store, {
      ...legacyDefaults,
      batchBytes: swarm.batchBytes,
      arrayBytesMax: Math.max(legacyDefaults.arrayBytesMax, swarm.batchBytes),
      isOwnershipChecked: swarm.isOwnershipChecked,
      redistributePercent: swarm.redistributePercent,
      sizeBytesMax: swarm.sizeBytesMax,
    });
    this.#engine.range = owned.range;
    this.#engine.settled = owned.settled;
    this.#redistribution = new Redistribution({
      net,
      toNodes: tlsToNodes(context),
      clock,
      log: log.child("redistribution"),
      engine: this.#engine,
      durable,
      revert: (previous) => {
        this.#owned = previous;
        this.#engine.range = previous.range;
        this.#engine.settled = previous.settled;
        onRange(previous, []);
      },
      save: () => keepHashRange(context, config().hashRange, this.#owned),
    });
    this.#port = new LegacyPort({
      net,
      clock,
      log: log.child("swarm"),
      tls,
      host,
      port,
      durable,
      gate,
      engine: this.#engine,
      backlog: swarm.backlog,
      writeFlushMs: swarm.writeFlushMs,
      limits,
      onTask: () => {
        const request = this.#engine.takeTask();
        const previous = this.#owned;
        this.#owned = { range: this.#engine.range, settled: this.#engine.settled };
        this.#redistribution.start(request, previous);
        onRange(this.#owned, readRedistribution(request).nodes);
      },
    });
  }

  /** The hashes that this node owns now. */
  get range(): HashRange {
    return this.#engine.range;
  }

  get figures(): SideFigures {
    const { requestsTotal, errorsTotal } = this.#engine.statistics();
    return { ...this.#port.figures, requests: requestsTotal, errors: errorsTotal };
  }

  /** What stats.log says of requests. */
  get requestFigures(): RequestSource {
    return { prefix: "request", names: Command, view: this.#engine.figures };
  }

  /** For `/stats`. */
  get stats() {
    return { ...this.#engine.statistics(), ...this.#engine.size(), ...this.#port.figures };
  }

  async listen(): Promise<void> {
    this.#options.context.announcePort("port", await this.#port.listen());
  }

  refuseWrites(text: string | undefined): void {
    this.#engine.refuseWrites(text !== undefined);
  }

  onLogDrain(): void {
    this.#port.onLogDrain();
  }

  stopListening(): void {
    this.#port.stopListening();
  }

  /** Ends a redistribution that is under way. */
  stopRedistribution(): Promise<void> {
    return this.#redistribution.stop();
  }

  closeConnections(): void {
    this.#port.closeAll();
  }

  close(): void {
    this.#engine.close();
  }
}
