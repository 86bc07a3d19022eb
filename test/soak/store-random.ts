/**
 * S6 and S7 in their long form: `bun run soak store-random [transactions]`. Sixteen clients of two frontends, three shards, fifty keys;
 * the histories of every level are searched for anomalies, the strict one also for what real time forbids.
 */
import { type LevelName } from "../e2e/hermitage.ts";
import { randomLoad } from "../e2e/store-load.ts";
import { StoreProcesses } from "../e2e/store-processes.ts";
import { checkTransactions } from "../reactive/checkers/elle.ts";
import type { Soak } from "./run.ts";

const TRANSACTIONS = 20_000;
/** What each level may show. */
const allowed: Record<LevelName, RegExp> = {
  strict: /^$/,
  snapshot: /^G2-item/,
  readCommitted: /^(G-single|G2-item|lost update)/,
};

export const soak: Soak = {
  summary: `${TRANSACTIONS} random transactions of each level over real processes, searched for anomalies: S6, S7`,
  async run([words = String(TRANSACTIONS)]) {
    using store = await StoreProcesses.create({ tss: 1, shards: 3, replicas: 1, frontends: 2 });
    await store.startAll();
    const figures: Record<string, unknown> = {};
    for (const level of Object.keys(allowed) as LevelName[]) {
      const load = { level, clients: 16, transactions: Number(words), keys: 50 };
      const { history, refused } = await randomLoad(store, load);
      const anomalies = checkTransactions(history, { isStrict: level === "strict" });
      const wrong = anomalies.filter(({ kind }) => !allowed[level].test(kind));
      if (wrong.length > 0)
        throw new Error(`${level}: ${wrong.length} anomalies, such as ${JSON.stringify(wrong[0])}`);
      figures[level] = { transactions: history.length, refused, shown: anomalies.length };
    }
    return figures;
  },
};
