/**
 * The neo half of a node, whatever it stores: engine, listener, credentials. Without a file of credentials the protocol
 * is not spoken.
 */
import { NxError } from "../core/errors.ts";
import type { RoleContext } from "../core/role.ts";
import type { NeoEngine } from "../native/neo.ts";
import type { PortLimits, PortState } from "./gated-port.ts";
import { NeoPort } from "./neo-port.ts";
import type { ReplyGate } from "./reply-gate.ts";
import type { RequestSource } from "./request-figures.ts";
import type { Side, SideFigures } from "./side.ts";
import { readCredentials } from "./wire/neo/credentials.ts";

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
  #credentials: ReadonlyMap<string, Uint8Array> = new Map();

  constructor(options: NeoSideOptions, engine: Engine) {
    this.#options = options;
    this.engine = engine;
    const { context, durable, gate, config, limits, port } = options;
    const { net, clock, random, log, tls } = context;
    const { host, swarm } = config();
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
      credentials: () => this.#credentials,
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
    return { ...this.engine.statistics(), ...this.#port.figures, users: this.#credentials.size };
  }

  /** Names of those who may use the port. */
  get users(): string[] {
    return [...this.#credentials.keys()].sort();
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

  /** Reads the credentials again, whole or not at all. Throws NX_SECRET_UNUSABLE. Open connections stay. */
  reload(): void {
    const { credentialsFile } = this.#options.config().neo;
    if (credentialsFile === undefined) return;
    try {
      this.#credentials = readCredentials(credentialsFile);
    } catch (error) {
      if (!(error instanceof NxError)) throw error;
      throw new NxError(error.code, `neo.credentialsFile: ${error.message}`, {
        hint: error.hint,
        cause: error,
      });
    }
    this.#options.context.log.info("read the credentials of the neo protocol", {
      users: this.#credentials.size,
    });
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
