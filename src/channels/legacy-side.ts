/** The legacy swarm half of a node, whatever it stores: engine and listener. */
import type { RoleContext } from "../core/role.ts";
import type { LegacyConnection, LegacyEngine } from "../native/legacy.ts";
import type { PortLimits, PortState } from "./gated-port.ts";
import { LegacyPort } from "./legacy-port.ts";
import type { ReplyGate } from "./reply-gate.ts";
import type { RequestSource } from "./request-figures.ts";
import { SwarmSide } from "./side.ts";

export interface LegacySideOptions {
  context: Pick<RoleContext<unknown>, "net" | "clock" | "log" | "tls" | "announcePort">;
  durable: PortState;
  gate: ReplyGate;
  config(): { host: string; port: number; swarm: { backlog: number; writeFlushMs: number } };
  /** What this side may use, the clients of others considered. */
  limits(): PortLimits;
  /** Codes of the engine's requests, by name. */
  codes: Readonly<Record<string, number>>;
  /** After each call into the engine: another side may have to look after its clients. */
  onCall?(): void;
}

export class LegacySide extends SwarmSide {
  protected readonly engine: LegacyEngine;
  protected readonly port: LegacyPort<LegacyConnection>;
  readonly #options: LegacySideOptions;

  constructor(options: LegacySideOptions, engine: LegacyEngine) {
    super();
    this.#options = options;
    this.engine = engine;
    const { context, durable, gate, config, limits, onCall } = options;
    const { net, clock, log, tls } = context;
    const { host, port, swarm } = config();
    this.port = new LegacyPort({
      ...{ net, clock, log: log.child("swarm"), tls, host, port, durable, gate, engine, limits },
      backlog: swarm.backlog,
      writeFlushMs: swarm.writeFlushMs,
      onTask: () => this.onTask(),
      ...(onCall !== undefined && { afterCall: onCall }),
    });
  }

  /** What stats.log says of requests. */
  get requestFigures(): RequestSource {
    return { prefix: "request", names: this.#options.codes, view: this.engine.figures };
  }

  async listen(): Promise<void> {
    this.#options.context.announcePort("port", await this.port.listen());
  }

  /** The engine has a task for its node. */
  protected onTask(): void {}

  /** Another side brought something: looks after the streams if that is urgent. */
  onChange(): void {
    this.port.pumpUrgent();
  }
}
