/**
 * The neo half of a node, whatever it stores: engine, listener, credentials. Without a file of credentials the protocol
 * is not spoken.
 */
import type { RoleContext } from "../core/role.ts";
import type { NeoEngine } from "../native/neo.ts";
import type { PortLimits, PortState } from "./gated-port.ts";
import { NeoCredentials } from "./neo-credentials.ts";
import { NeoPort } from "./neo-port.ts";
import type { ReplyGate } from "./reply-gate.ts";
import type { RequestSource } from "./request-figures.ts";
import type { Side, SideFigures } from "./side.ts";

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

export class NeoSide<Engine extends NeoEngine = NeoEngine> implements Side {
  readonly #options: NeoSideOptions;
  protected readonly engine: Engine;
  readonly #port: NeoPort;
  readonly credentials: NeoCredentials;

  constructor(options: NeoSideOptions, engine: Engine) {
    this.#options = options;
    this.engine = engine;
    const { context, durable, gate, config, limits, port } = options;
    const { net, clock, random, log, tls } = context;
    const { host, swarm } = config();
    this.credentials = new NeoCredentials(() => config().neo.credentialsFile, log);
    this.#port = new NeoPort({
      net,
      clock,
      random,
      log: log.child("neo"),
      tls,
      host,
      port,
      backlog: swarm.backlog,
      durable,
      gate,
      engine,
      credentials: () => this.credentials.secrets,
      limits,
    });
  }

  get figures(): SideFigures {
    const { requestsTotal, errorsTotal } = this.engine.statistics();
    return { ...this.#port.figures, requests: requestsTotal, errors: errorsTotal };
  }

  /** What stats.log says of requests. */
  get requestFigures(): RequestSource {
    return { prefix: "neo_request", names: this.#options.codes, view: this.engine.figures };
  }

  /** For `/stats`. */
  get stats() {
    return { ...this.engine.statistics(), ...this.#port.figures, users: this.credentials.secrets.size };
  }

  async listen(): Promise<void> {
    const { context, config } = this.#options;
    const { credentialsFile } = config().neo;
    if (credentialsFile === undefined) {
      context.log.info("the neo protocol is not spoken: there is no neo.credentialsFile");
      return;
    }
    this.reload();
    context.announcePort("neoPort", await this.#port.listen());
  }

  /** Throws NX_SECRET_UNUSABLE. */
  reload(): void {
    this.credentials.reload();
  }

  refuseWrites(text: string | undefined): void {
    this.engine.refuseWrites(text !== undefined);
  }

  onLogDrain(): void {
    this.#port.onLogDrain();
  }

  stopListening(): void {
    this.#port.stopListening();
  }

  closeConnections(): void {
    this.#port.closeAll();
  }

  close(): void {
    this.engine.close();
  }
}
