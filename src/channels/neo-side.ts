/**
 * The neo half of a node, whatever it stores: engine, listener, credentials. Without a file of credentials the protocol
 * is not spoken.
 */
import type { RoleContext } from "../core/role.ts";
import type { FiguresView } from "../native/request-figures.ts";
import type { PortLimits, PortState } from "./gated-port.ts";
import { NeoCredentials } from "./neo-credentials.ts";
import { NeoPort, type NeoPortEngine } from "./neo-port.ts";
import type { ReplyGate } from "./reply-gate.ts";
import type { RequestSource } from "./request-figures.ts";
import { type SideEngine, SwarmSide } from "./side.ts";

export interface NeoSideOptions {
  context: Pick<RoleContext<unknown>, "net" | "clock" | "random" | "log" | "tls" | "announcePort">;
  durable: PortState;
  gate: ReplyGate;
  /** Current configuration; a reload changes it. */
  config(): { host: string; neo: { credentialsFile?: string | undefined }; swarm: { backlog: number } };
  port: number;
  /** What this side may use, its clients and those of the others considered. */
  limits(): PortLimits;
  /** Codes of the engine's requests, by name. */
  codes: Readonly<Record<string, number>>;
}

/** In C, or not: a logfiles node's is TypeScript. */
export interface NeoSideEngine extends NeoPortEngine, SideEngine {
  readonly figures: FiguresView;
}

export class NeoSide<Engine extends NeoSideEngine = NeoSideEngine> extends SwarmSide {
  readonly #options: NeoSideOptions;
  protected readonly engine: Engine;
  protected readonly port: NeoPort;
  readonly credentials: NeoCredentials;

  constructor(options: NeoSideOptions, engine: Engine) {
    super();
    this.#options = options;
    this.engine = engine;
    const { context, durable, gate, config, limits, port } = options;
    const { net, clock, random, log, tls } = context;
    const { host, swarm } = config();
    this.credentials = new NeoCredentials(() => config().neo.credentialsFile, log);
    this.port = new NeoPort({
      ...{ net, clock, random, log: log.child("neo"), tls, host, port, durable, gate, engine, limits },
      backlog: swarm.backlog,
      credentials: () => this.credentials.secrets,
    });
  }

  /** What stats.log says of requests. */
  get requestFigures(): RequestSource {
    return { prefix: "neo_request", names: this.#options.codes, view: this.engine.figures };
  }

  override get stats() {
    return { ...super.stats, users: this.credentials.secrets.size };
  }

  async listen(): Promise<void> {
    const { context, config } = this.#options;
    const { credentialsFile } = config().neo;
    if (credentialsFile === undefined) {
      context.log.info("the neo protocol is not spoken: there is no neo.credentialsFile");
      return;
    }
    this.credentials.reload();
    context.announcePort("neoPort", await this.port.listen());
  }
}
