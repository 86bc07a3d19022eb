/**
 * Scripted interleavings of transactions, in the manner of Hermitage (Kleppmann, 2014): each shows whether one anomaly of Adya's can
 * be seen, and the table says at which level it may be. x is 10 and y is 20 at first.
 *
 *   1 x=11     transaction 1 writes x          1 commit    "ok" or "abort"
 *   1 x?       transaction 1 reads x           1 abort
 */
import { decodeValue, encodeOperations, wholePart } from "../../src/reactive/shard/operations.ts";
import { type Access, Level } from "../../src/reactive/shard/transaction.ts";
import { bytesOf, plain, type PlainClient } from "../reactive/plain-client.ts";

export type LevelName = keyof typeof Level;

interface Case {
  script: string;
  /** What reads and commits answer, in order, then x and y at the end. */
  outcomes: Record<LevelName, string>;
}

const same = (text: string) => ({ strict: text, snapshot: text, readCommitted: text });

export const cases: Record<string, Case> = {
  "G0, write cycle": {
    script: "1 x=11; 2 x=12; 1 y=21; 1 commit; 2 y=22; 2 commit",
    outcomes: { ...same("ok ok | 12 22"), snapshot: "ok abort | 11 21" },
  },
  "G1a, aborted read": {
    script: "1 x=101; 2 x?; 1 abort; 2 x?; 2 commit",
    outcomes: same("10 10 ok | 10 20"),
  },
  "G1b, intermediate read": {
    script: "1 x=101; 2 x?; 1 x=11; 1 commit; 2 x?; 2 commit",
    outcomes: {
      strict: "10 ok 11 abort | 11 20",
      snapshot: "10 ok 10 ok | 11 20",
      readCommitted: "10 ok 11 ok | 11 20",
    },
  },
  "G1c, circular information flow": {
    script: "1 x=11; 2 y=22; 1 y?; 2 x?; 1 commit; 2 commit",
    outcomes: { ...same("20 10 ok ok | 11 22"), strict: "20 10 ok abort | 11 20" },
  },
  "OTV, observed transaction vanishes": {
    script: "1 x=11; 1 y=19; 2 x=12; 1 commit; 3 x?; 2 y=18; 3 y?; 2 commit; 3 y?; 3 x?; 3 commit",
    outcomes: {
      strict: "ok 11 19 ok 18 12 abort | 12 18",
      snapshot: "ok 11 19 abort 19 11 ok | 11 19",
      readCommitted: "ok 11 19 ok 18 12 ok | 12 18",
    },
  },
  "PMP, a key that comes into being": {
    script: "1 z?; 2 z=30; 2 commit; 1 z?; 1 commit",
    outcomes: {
      strict: "- ok 30 abort | 10 20",
      snapshot: "- ok - ok | 10 20",
      readCommitted: "- ok 30 ok | 10 20",
    },
  },
  "P4, lost update": {
    script: "1 x?; 2 x?; 1 x=11; 2 x=11; 1 commit; 2 commit",
    outcomes: { ...same("10 10 ok abort | 11 20"), readCommitted: "10 10 ok ok | 11 20" },
  },
  "G-single, read skew": {
    script: "1 x?; 2 x?; 2 y?; 2 x=12; 2 y=18; 2 commit; 1 y?; 1 commit",
    outcomes: {
      strict: "10 10 20 ok 18 abort | 12 18",
      snapshot: "10 10 20 ok 20 ok | 12 18",
      readCommitted: "10 10 20 ok 18 ok | 12 18",
    },
  },
  "G2-item, write skew": {
    script: "1 x?; 1 y?; 2 x?; 2 y?; 1 x=11; 2 y=21; 1 commit; 2 commit",
    outcomes: { ...same("10 20 10 20 ok ok | 11 21"), strict: "10 20 10 20 ok abort | 11 20" },
  },
  "read-only transaction anomaly": {
    script: "2 x?; 2 y?; 1 y?; 1 y=25; 1 commit; 3 x?; 3 y?; 3 commit; 2 x=0; 2 commit",
    outcomes: { ...same("10 20 20 ok 10 25 ok ok | 0 25"), strict: "10 20 20 ok 10 25 ok abort | 10 25" },
  },
};

const NOT_COMMITTED = "abort";

/** One interactive transaction: reads go to the frontend, writes wait for the commit. */
class ScriptedTransaction {
  readonly #client: PlainClient;
  readonly #level: Level;
  #snapshot = 0;
  readonly #accesses = new Map<string, Access>();

  constructor(client: PlainClient, level: Level) {
    this.#client = client;
    this.#level = level;
  }

  async #begin(): Promise<void> {
    if (this.#level !== Level.snapshot || this.#snapshot > 0) return;
    this.#snapshot = (await this.#client.ask({ type: "begin" }, "begun")).at;
  }

  #access(key: string): Access {
    const known = this.#accesses.get(key);
    if (known !== undefined) return known;
    const access: Access = { key: bytesOf(key), reads: [], operations: new Uint8Array(0) };
    this.#accesses.set(key, access);
    return access;
  }

  async read(key: string): Promise<string> {
    await this.#begin();
    const { versions } = await this.#client.ask(
      { type: "read", at: this.#snapshot, keys: [bytesOf(key)] },
      "values",
    );
    const [version] = versions;
    if (version === undefined) throw new Error(`${key} was not answered`);
    const { start, type, value } = version;
    this.#access(key).reads.push({ part: wholePart, version: start, wasPresent: type !== 0 });
    return String(plain(decodeValue(type, value)) ?? "-");
  }

  async write(key: string, text: string): Promise<void> {
    await this.#begin();
    const value = { type: "bytes", bytes: bytesOf(text) } as const;
    this.#access(key).operations = encodeOperations([{ kind: "put", value }]);
  }

  async commit(): Promise<string> {
    const more = { level: this.#level, snapshot: this.#snapshot, reads: [...this.#accesses.values()] };
    for (;;) {
      const outcome = await this.#client.commit([], more);
      // An earlier transaction was acknowledged and is not carried out on every shard yet: what a client repeats by itself.
      const isEarly = outcome.kind === "refused" && outcome.reason === "prepared";
      if (!isEarly) return outcome.kind === "committed" ? "ok" : NOT_COMMITTED;
    }
  }
}

/** Runs a script; `keyOf` tells where x, y and z are. Transaction n talks to client n. */
export async function runScript(
  script: string,
  level: LevelName,
  clients: readonly PlainClient[],
  keyOf: (name: string) => string,
): Promise<string> {
  const clientOf = (transaction: number) => clients[transaction % clients.length] as PlainClient;
  await clientOf(0).put({ [keyOf("x")]: "10", [keyOf("y")]: "20" });
  const transactions = new Map<string, ScriptedTransaction>();
  const answers: string[] = [];
  for (const step of script.split("; ")) {
    const [number = "", action = ""] = step.split(" ");
    const transaction =
      transactions.get(number) ?? new ScriptedTransaction(clientOf(Number(number)), Level[level]);
    transactions.set(number, transaction);
    if (action === "commit") answers.push(await transaction.commit());
    else if (action.endsWith("?")) answers.push(await transaction.read(keyOf(action.slice(0, -1))));
    else if (action.includes("=")) {
      const [name = "", value = ""] = action.split("=");
      await transaction.write(keyOf(name), value);
    }
  }
  const { values } = await clientOf(1).read([keyOf("x"), keyOf("y")]);
  return `${answers.join(" ")} | ${values.join(" ")}`;
}
