/**
 * A client of the transactional store for load: commits and reads over a few connections to one frontend, each transaction
 * under a name of its own, and the frontend is told which names nobody asks for again.
 */
import {
  type ClientMessage,
  COMMITTED,
  NOW,
  type ServerMessage,
} from "../../src/reactive/client-wire/messages.ts";
import { encodeOperations, type Operation, wholePart } from "../../src/reactive/shard/operations.ts";
import { type Access, Level } from "../../src/reactive/shard/transaction.ts";
import { bytesOf, PlainClient } from "../reactive/plain-client.ts";

type Settlement = Extract<ServerMessage, { type: "settled" }>["outcome"];
export type Version = Extract<ServerMessage, { type: "values" }>["versions"][number];
export type CommitRequest = Extract<ClientMessage, { type: "commit" }>["transaction"];

export interface KeyAccess {
  key: string;
  /** What was read of it. */
  version?: Version;
  operations?: readonly Operation[];
}

export class StoreClient {
  readonly #client: PlainClient;
  #number = 0;
  /** Transactions under way, oldest first. */
  readonly #open = new Set<number>();

  private constructor(client: PlainClient) {
    this.#client = client;
  }

  static async connect(port: number): Promise<StoreClient> {
    return new StoreClient(await PlainClient.connect(port));
  }

  /** `snapshot`: the timestamp of its reads, for snapshot isolation. */
  async commit(level: Level, accesses: readonly KeyAccess[], snapshot = 0): Promise<Settlement> {
    const number = ++this.#number;
    this.#open.add(number);
    try {
      const floor = this.#open.values().next().value ?? number;
      const id = { client: this.#client.client, number };
      const transaction = { id, floor, level, snapshot, accesses: accesses.map(toAccess) };
      const { outcome } = await this.#client.ask({ type: "commit", transaction }, "settled");
      return outcome;
    } finally {
      this.#open.delete(number);
    }
  }

  /** One transaction of one operation; throws unless it is committed. */
  async put(key: string, value: Uint8Array): Promise<void> {
    const operations: Operation[] = [{ kind: "put", value: { type: "bytes", bytes: value } }];
    const outcome = await this.commit(Level.strict, [{ key, operations }]);
    // Another caller of this key was under way.
    if (outcome.kind !== "committed" && outcome.kind !== "refused")
      throw new Error(`a put is ${JSON.stringify(outcome)}`);
  }

  /** As of one moment, after all that was acknowledged. */
  async read(keys: readonly string[]): Promise<Version[]> {
    return (await this.readAt(keys)).versions;
  }

  /** The same with the moment. */
  readAt(keys: readonly string[]): Promise<{ at: number; versions: Version[] }> {
    return this.#read(keys, NOW);
  }

  /** What is committed of each key. */
  async readCommitted(keys: readonly string[]): Promise<Version[]> {
    return (await this.#read(keys, COMMITTED)).versions;
  }

  async #read(keys: readonly string[], moment: number): Promise<{ at: number; versions: Version[] }> {
    const question = { type: "read", at: moment, keys: keys.map(bytesOf) } as const;
    const { at, versions } = await this.#client.ask(question, "values");
    return { at, versions };
  }

  close(): void {
    this.#client.terminate();
  }
}

function toAccess({ key, version, operations }: KeyAccess): Access {
  return {
    key: bytesOf(key),
    reads:
      version === undefined
        ? []
        : [{ part: wholePart, version: version.start, wasPresent: version.type !== 0 }],
    operations: operations === undefined ? new Uint8Array(0) : encodeOperations(operations),
  };
}
