/**
 * Transactions that are typed step by step, as in a terminal, so that a test decides how several interleave: each is run once by
 * the public client and never again.
 */
import {
  AbortedError,
  type Client,
  type Isolation,
  long,
  type SnapshotReader,
  type TransactionHandle,
} from "../../../src/reactive/client.ts";

export type Outcome = "committed" | "refused";

export class Typed {
  readonly #client: Client;
  readonly #written = new Set<string>();
  readonly #handle: Promise<TransactionHandle>;
  readonly #outcome: Promise<Outcome>;
  readonly #end = Promise.withResolvers<void>();

  constructor(client: Client, isolation: Isolation) {
    this.#client = client;
    const started = Promise.withResolvers<TransactionHandle>();
    this.#handle = started.promise;
    this.#outcome = client
      .execute(
        async (transaction) => {
          started.resolve(transaction);
          await this.#end.promise;
        },
        { isolation, retries: 0 },
      )
      .then(
        () => "committed" as const,
        (error: unknown) => {
          if (error instanceof AbortedError) return "refused" as const;
          throw error;
        },
      );
    this.#outcome.catch(() => undefined);
  }

  /** 0 when nothing is there. */
  async read(key: string): Promise<number> {
    return Number(await long(key).value(await this.#handle));
  }

  async write(key: string, value: number): Promise<void> {
    this.#written.add(key);
    long(key).set(await this.#handle, BigInt(value));
  }

  /** Behind it nothing is under way: what is read committed next may be older than what was acknowledged, a snapshot is not. */
  async commit(): Promise<Outcome> {
    this.#end.resolve();
    const outcome = await this.#outcome;
    const readAll = (reader: SnapshotReader) => [...this.#written].map((key) => long(key).value(reader));
    await this.#client.readOnly((reader) => Promise.all(readAll(reader)));
    return outcome;
  }

  async abort(): Promise<void> {
    this.#end.reject(new AbortedError("byUser", "aborted"));
    await this.#outcome;
  }
}
