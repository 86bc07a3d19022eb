/** The node's neo half: engine, listener, credentials. Without a file of credentials the protocol is not spoken. */
import { NxError } from "../../core/errors.ts";
import type { OwnedRange } from "./hash-range.ts";
import { NeoEngine, neoDefaults } from "../../native/neo.ts";
import { NeoPort } from "../neo-port.ts";
import type { RequestSource } from "../request-figures.ts";
import { readCredentials } from "../wire/neo/credentials.ts";
import { Code } from "../wire/neo/protocol.ts";
import type { RangedNode } from "../wire/legacy/client.ts";
import type { Side, SideFigures } from "../side.ts";
import type { SideOptions } from "./side.ts";

/** From the legacy port of a dht node to its neo port, as the originals have it. */
const NEO_PORT_DISTANCE = 100;

export class NeoSide implements Side {
  readonly #options: SideOptions;
  readonly #engine: NeoEngine;
  readonly #port: NeoPort;
  #credentials: ReadonlyMap<string, Uint8Array> = new Map();

  constructor(options: SideOptions, { range, settled }: OwnedRange) {
    this.#options = options;
    const { context, durable, gate, config, limits } = options;
    const { net, clock, random, log, tls } = context;
    const { host, port, neoPort, swarm } = config();
    this.#engine = new NeoEngine(durable.store, {
      ...neoDefaults,
      batchBytes: Math.max(neoDefaults.batchBytes, swarm.batchBytes),
      isOwnershipChecked: swarm.isOwnershipChecked,
      sizeBytesMax: swarm.sizeBytesMax,
    });
    this.#engine.setRange(range);
    this.#engine.setSettled(settled);
    this.#port = new NeoPort({
      net,
      clock,
      random,
      log: log.child("neo"),
      tls,
      host,
      port: neoPort ?? (port === 0 ? 0 : port + NEO_PORT_DISTANCE),
      backlog: swarm.backlog,
      durable,
      gate,
      engine: this.#engine,
      credentials: () => this.#credentials,
      limits,
    });
  }

  get figures(): SideFigures {
    const { requestsTotal, errorsTotal } = this.#engine.statistics();
    return { ...this.#port.figures, requests: requestsTotal, errors: errorsTotal };
  }

  /** What stats.log says of requests. */
  get requestFigures(): RequestSource {
    return { prefix: "neo_request", names: Code, view: this.#engine.figures };
  }

  /** For `/stats`. */
  get stats() {
    return { ...this.#engine.statistics(), ...this.#port.figures, users: this.#credentials.size };
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

  /** The range has changed: clients that asked are told, of the other nodes too. */
  onRange({ range, settled }: OwnedRange, others: readonly RangedNode[]): void {
    this.#engine.setRange(range);
    this.#engine.setSettled(settled);
    // They are told of where neo clients would connect: by the originals' rule a hundred ports further.
    for (const { host, port, range: theirs } of others)
      this.#engine.tellNode(host, port + NEO_PORT_DISTANCE, theirs);
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

  closeConnections(): void {
    this.#port.closeAll();
  }

  close(): void {
    this.#engine.close();
  }
}
