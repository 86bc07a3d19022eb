/** The queue node's legacy swarm half: engine and listener. */
import type { RoleContext } from "../../core/role.ts";
import { type LegacyConnection, LegacyEngine, legacyDefaults } from "../../native/legacy.ts";
import type { PortLimits } from "../gated-port.ts";
import { LegacyPort } from "../legacy-port.ts";
import type { ReplyGate } from "../reply-gate.ts";
import type { RequestSource } from "../request-figures.ts";
import type { Side, SideFigures } from "../side.ts";
import { QueueCommand } from "../wire/legacy/protocol.ts";
import type { QueueConfig } from "./config.ts";
import type { DurableQueues } from "./durable-queues.ts";

export interface SwarmSideOptions {
  context: RoleContext<QueueConfig>;
  durable: DurableQueues;
  gate: ReplyGate;
  /** What this side may use, the clients of others considered. */
  limits(): PortLimits;
  /** After each call into the engine: another side may have to look after its clients. */
  onCall(): void;
}

export class SwarmSide implements Side {
  readonly #options: SwarmSideOptions;
  readonly #engine: LegacyEngine;
  readonly #port: LegacyPort<LegacyConnection>;

  constructor(options: SwarmSideOptions) {
    this.#options = options;
    const { context, durable, gate, limits, onCall } = options;
    const { net, clock, log, tls, config } = context;
    const { host, port, swarm } = config;
    this.#engine = new LegacyEngine(durable.queues, legacyDefaults, swarm.generation === "later");
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
      afterCall: onCall,
    });
  }

  get figures(): SideFigures {
    const { requestsTotal, errorsTotal } = this.#engine.statistics();
    return { ...this.#port.figures, requests: requestsTotal, errors: errorsTotal };
  }

  /** What stats.log says of requests. */
  get requestFigures(): RequestSource {
    return { prefix: "request", names: QueueCommand, view: this.#engine.figures };
  }

  /** For `/stats`. */
  get stats() {
    return { ...this.#engine.statistics(), ...this.#port.figures };
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

  /** Another side brought something: looks after the consumers if that is urgent. */
  onChange(): void {
    this.#port.pumpUrgent();
  }

  stopListening(): void {
    this.#port.stopListening();
  }

  closeConnections(): void {
    this.#port.closeAll();
  }

  close(): void {
    this.#engine.close();
  }
}
