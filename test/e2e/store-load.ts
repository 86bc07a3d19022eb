/**
 * Load on a transactional store of real processes, with histories for the checkers: random transactions over lists, and operations
 * that commute.
 */
import {
  decodeValue,
  encodeOperations,
  type Operation,
  wholePart,
} from "../../src/reactive/shard/operations.ts";
import { type Access, Level } from "../../src/reactive/shard/transaction.ts";
import type { Transaction, TransactionStep } from "../reactive/checkers/elle.ts";
import { bytesOf, FailedError, plain, PlainClient } from "../reactive/plain-client.ts";
import { until } from "./executable.ts";
import type { LevelName } from "./hermitage.ts";
import type { StoreProcesses } from "./store-processes.ts";

/** A client that moves to another frontend when its own is gone, and repeats what was not answered, under the same name. */
export class SteadyClient {
  readonly name = 1 + Math.floor(Math.random() * 2 ** 52);
  readonly #ports: readonly number[];
  #next: number;
  #client: PlainClient | undefined;
  #number = 0;

  constructor(ports: readonly number[], first: number) {
    this.#ports = ports;
    this.#next = first;
  }

  async ask<Answer>(call: (client: PlainClient) => Promise<Answer>): Promise<Answer> {
    return until("an answer", async () => {
      try {
        this.#client ??= await PlainClient.connect(this.#ports[this.#next++ % this.#ports.length] as number, {
          client: this.name,
        });
        return { answer: await call(this.#client) };
      } catch (error) {
        if (
          error instanceof FailedError &&
          !["unavailable", "unknownOutcome", "busy", "stopping"].includes(error.code)
        )
          throw error;
        this.#client?.terminate();
        this.#client = undefined;
        return undefined;
      }
    }).then(({ answer }) => answer);
  }

  commit(level: Level, snapshot: number, reads: Access[]) {
    const number = ++this.#number;
    return this.ask((client) => client.commit([], { level, snapshot, reads, number }));
  }

  /** Puts a text, whoever else does. */
  async put(key: string, text: string): Promise<void> {
    const operations = encodeOperations([{ kind: "put", value: { type: "bytes", bytes: bytesOf(text) } }]);
    const { kind } = await this.commit(Level.strict, 0, [{ key: bytesOf(key), reads: [], operations }]);
    if (kind !== "committed") throw new Error(`a put of ${key} is ${kind}`);
  }

  close(): void {
    this.#client?.terminate();
  }
}

export interface RandomLoad {
  level: LevelName;
  clients: number;
  /** Of all clients together. */
  transactions: number;
  keys?: number;
  /** Ends it earlier. */
  isOver?: () => boolean;
}

let lastTable = 0;

/** Reads of lists and appends to them; under snapshot isolation a list is put as a whole, since appends do not conflict. */
export async function randomLoad(
  store: StoreProcesses,
  { level, clients, transactions, keys = 12, isOver = () => false }: RandomLoad,
): Promise<{ history: Transaction[]; refused: number }> {
  const history: Transaction[] = [];
  const table = `t${++lastTable}:`;
  let [left, value, refused] = [transactions, 0, 0];
  const names = Array.from({ length: keys }, (_, index) => `${table}${index}`);

  const run = async (client: SteadyClient) => {
    const invokedAt = performance.now();
    const chosen = names.filter(() => Math.random() < 2.5 / keys);
    const snapshot =
      level === "snapshot" ? (await client.ask((plainly) => plainly.ask({ type: "begin" }, "begun"))).at : 0;
    const steps: TransactionStep[] = [];
    const appends: TransactionStep[] = [];
    const accesses: Access[] = [];
    for (const key of chosen) {
      const reads = level === "snapshot" || Math.random() < 0.6;
      const access: Access = { key: bytesOf(key), reads: [], operations: new Uint8Array(0) };
      let list: number[] = [];
      if (reads) {
        const question = { type: "read" as const, at: snapshot, keys: [bytesOf(key)] };
        const { versions } = await client.ask((plainly) => plainly.ask(question, "values"));
        const [version] = versions;
        if (version === undefined) throw new Error(`${key} was not answered`);
        list = ((plain(decodeValue(version.type, version.value)) as string[] | undefined) ?? []).map(Number);
        access.reads.push({ part: wholePart, version: version.start, wasPresent: version.type !== 0 });
        steps.push({ key, read: list });
      }
      if (!reads || Math.random() < 0.5) {
        const own = ++value;
        appends.push({ key, append: own });
        const elements = [...list, own].map((each) => bytesOf(`${each}`));
        const operation: Operation =
          level === "snapshot"
            ? { kind: "put", value: { type: "list", elements } }
            : { kind: "append", element: bytesOf(`${own}`) };
        access.operations = encodeOperations([operation]);
      }
      accesses.push(access);
    }
    if (accesses.length === 0) return;
    const { kind } = await client.commit(Level[level], snapshot, accesses);
    if (kind === "refused") refused += 1;
    history.push({
      name: `${client.name}@${invokedAt.toFixed(1)}`,
      steps: [...steps, ...appends],
      outcome: kind === "committed" ? "committed" : "aborted",
      invokedAt,
      returnedAt: performance.now(),
    });
  };
  const caller = async (index: number) => {
    const client = new SteadyClient(store.frontendPorts, index);
    while (left-- > 0 && !isOver()) await run(client);
    client.close();
  };
  await Promise.all(Array.from({ length: clients }, (_, index) => caller(index)));
  return { history, refused };
}

export interface CommutingLoad {
  level: Level;
  clients: number;
  rounds: number;
  /** Also reads that write, and values that are put. */
  isMixed: boolean;
}

/** Returns what is wrong with the values at the end, compared with what was acknowledged. */
export async function commutingLoad(
  store: StoreProcesses,
  { level, clients, rounds, isMixed }: CommutingLoad,
): Promise<{ aborted: number; wrong: string[] }> {
  const table = `w${++lastTable}:`;
  const [count, list, set] = [`${table}count`, `${table}list`, `${table}set`];
  const acknowledged: string[] = [];
  let [sum, aborted] = [0, 0];
  const access = (key: string, ...operations: Operation[]): Access => ({
    key: bytesOf(key),
    reads: [],
    operations: encodeOperations(operations),
  });
  const caller = async (index: number) => {
    const client = new SteadyClient(store.frontendPorts, index);
    for (let round = 0; round < rounds; round++) {
      const element = bytesOf(`${index}.${round}`);
      const accesses = [
        access(count, { kind: "add", amount: 2n }, { kind: "add", amount: 1n }),
        access(list, { kind: "append", element }),
        access(set, { kind: "insert", element }),
      ];
      if (isMixed && round % 3 === 1) {
        // A list that was read: whoever appends meanwhile makes this one fail.
        const question = { type: "read" as const, at: 0, keys: [bytesOf(list)] };
        const [version] = (await client.ask((plainly) => plainly.ask(question, "values"))).versions;
        if (version !== undefined)
          accesses[1]?.reads.push({
            part: wholePart,
            version: version.start,
            wasPresent: version.type !== 0,
          });
      }
      const snapshot =
        level === Level.snapshot
          ? (await client.ask((plainly) => plainly.ask({ type: "begin" }, "begun"))).at
          : 0;
      const outcome = await client.commit(level, snapshot, accesses);
      if (outcome.kind === "committed") {
        acknowledged.push(`${index}.${round}`);
        sum += 3;
      } else aborted += 1;
    }
    client.close();
  };
  await Promise.all(Array.from({ length: clients }, (_, index) => caller(index)));
  const reader = new SteadyClient(store.frontendPorts, 0);
  const { values } = await reader.ask((client) => client.read([count, list, set]));
  reader.close();
  const expected = acknowledged.toSorted().join();
  const wrong = [
    values[0] === sum ? "" : `the counter is ${values[0]}, acknowledged were ${sum}`,
    (values[1] as string[]).toSorted().join() === expected ? "" : "the list is not what was acknowledged",
    (values[2] as string[]).toSorted().join() === expected ? "" : "the set is not what was acknowledged",
  ];
  return { aborted, wrong: wrong.filter((text) => text !== "") };
}
