/**
 * `bun run soak reactive-etcd [kills]`: the members of an etcd of three are killed with -9 under load, one after the other, again and
 * again, and every tenth time one is frozen instead until the others have gone on without it. Nothing acknowledged is lost, no
 * frontend's feed misses a change or tells one twice, and every watch sees the end. Then the same with frontends as processes, of which
 * one is killed too, and random strict transactions, whose history shows no anomaly, also not in real time.
 */
import { EtcdProcesses } from "../e2e/etcd-processes.ts";
import { randomLoad } from "../e2e/store-load.ts";
import { StoreProcesses } from "../e2e/store-processes.ts";
import { checkTransactions } from "../reactive/checkers/elle.ts";
import { MemberLoad } from "../reactive/engine/member-load.ts";
import { PlainClient } from "../reactive/plain-client.ts";
import type { Soak } from "./run.ts";

const KILLS = 50;
const COMMITS = 40;
const MEMBERS = 3;
/** Of the kills, one in so many with histories that are checked. */
const CHECKED = 5;

async function killMembers(etcd: EtcdProcesses, kills: number): Promise<Record<string, number>> {
  const load = new MemberLoad(etcd);
  await load.start();
  for (let round = 0; round < kills; round++) {
    const member = round % MEMBERS;
    if (round % 10 === 9) await load.frozen(member, COMMITS);
    else await load.without(member, COMMITS);
  }
  const faults = await load.finish();
  if (faults.length > 0) throw new Error(faults.slice(0, 10).join("\n"));
  return { commits: load.committed.length, ...load.figures };
}

async function checkHistories(etcd: EtcdProcesses, rounds: number): Promise<Record<string, number>> {
  using store = await StoreProcesses.overEtcd(etcd.endpoints, 2);
  await store.startAll();
  let transactions = 0;
  for (let round = 0; round < rounds; round++) {
    const load = randomLoad(store, { level: "strict", clients: 6, transactions: 400 });
    using client = await PlainClient.connect(store.frontendPorts[1] as number);
    await client.put({ before: `${round}` });
    await Promise.all([etcd.kill(round % MEMBERS), store.kill("c.frontend0")]);
    await client.put({ after: `${round}` });
    etcd.run(round % MEMBERS);
    store.start("c.frontend0");
    await Promise.all([etcd.serving(round % MEMBERS), store.ready("c.frontend0")]);
    const { history } = await load;
    const anomalies = checkTransactions(history, { isStrict: true });
    if (anomalies.length > 0) throw new Error(`round ${round}: ${JSON.stringify(anomalies.slice(0, 3))}`);
    transactions += history.length;
  }
  return { transactions };
}

export const soak: Soak = {
  summary: `kill -9 of members of an etcd behind frontends, ${KILLS} times under load`,
  async run([kills = String(KILLS)]) {
    using etcd = await EtcdProcesses.start({ members: MEMBERS });
    const killed = await killMembers(etcd, Number(kills));
    const checked = await checkHistories(etcd, Math.ceil(Number(kills) / CHECKED));
    return { kills: Number(kills), ...killed, ...checked };
  },
};
