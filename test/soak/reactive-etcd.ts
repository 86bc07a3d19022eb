/**
 * `bun run soak reactive-etcd [kills]`: the members of an etcd of three are killed with -9 under load, one after the other, again and
 * again, and every tenth time one is frozen instead until the others have gone on without it. Nothing acknowledged is lost, no
 * frontend's feed misses a change or tells one twice, and every watch sees the end.
 */
import { EtcdProcesses } from "../e2e/etcd-processes.ts";
import { MemberLoad } from "../reactive/engine/member-load.ts";
import type { Soak } from "./run.ts";

const KILLS = 50;
const COMMITS = 40;

export const soak: Soak = {
  summary: `kill -9 of members of an etcd behind two frontends, ${KILLS} times under load`,
  async run([kills = String(KILLS)]) {
    using etcd = await EtcdProcesses.start({ members: 3 });
    const load = new MemberLoad(etcd);
    await load.start();
    for (let round = 0; round < Number(kills); round++) {
      const member = round % 3;
      if (round % 10 === 9) await load.frozen(member, COMMITS);
      else await load.without(member, COMMITS);
    }
    const faults = await load.finish();
    if (faults.length > 0) throw new Error(faults.slice(0, 10).join("\n"));
    return { kills: Number(kills), commits: load.committed.length, ...load.figures };
  },
};
