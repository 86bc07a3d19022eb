/** The node's neo half: engine, listener, credentials. Without a file of credentials the protocol is not spoken. */
import type { RoleContext } from "../../core/role.ts";
import { NeoCredentials } from "../neo-credentials.ts";
import { NeoPort } from "../neo-port.ts";
import type { ReplyGate } from "../reply-gate.ts";
import type { LogfilesConfig } from "./config.ts";
import type { RequestSource } from "../request-figures.ts";
import { LogfilesNeoEngine, NeoCode } from "./neo-engine.ts";
import type { LogStore } from "./store/log-store.ts";

export class LogfilesNeoSide {
  readonly #context: RoleContext<LogfilesConfig>;
  readonly #engine: LogfilesNeoEngine;
  readonly #port: NeoPort;
  readonly credentials: NeoCredentials;

  constructor(
    context: RoleContext<LogfilesConfig>,
    store: LogStore,
    gate: ReplyGate,
    limits: () => LogfilesConfig["limits"] & { valueBytesMax: number },
    current: () => LogfilesConfig,
  ) {
    const { config, net, clock, random, log, tls } = context;
    this.#context = context;
    this.credentials = new NeoCredentials(() => current().neo.credentialsFile, log);
    this.#engine = new LogfilesNeoEngine(store, config.limits.channelsMax, clock);
    this.#port = new NeoPort({
      net,
      clock,
      random,
      log: log.child("neo"),
      tls,
      host: config.host,
      port: config.neoPort,
      backlog: config.swarm.backlog,
      durable: store,
      gate,
      engine: this.#engine,
      credentials: () => this.credentials.secrets,
      limits,
    });
  }

  get figures() {
    const { requestsTotal, errorsTotal } = this.#engine;
    return { ...this.#port.figures, requestsTotal, errorsTotal, users: this.credentials.secrets.size };
  }

  /** What stats.log says of requests. */
  get requestFigures(): RequestSource {
    return { prefix: "neo_request", names: NeoCode, view: this.#engine.figures };
  }

  async listen(): Promise<void> {
    if (this.#context.config.neo.credentialsFile === undefined) return;
    this.credentials.reload();
    this.#context.announcePort("neoPort", await this.#port.listen());
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
}
