/** The engine contract, asked of etcd, and what only etcd can do to a store. */
import { afterAll, beforeAll, setDefaultTimeout } from "bun:test";
import { EtcdProcesses } from "../../e2e/etcd-processes.ts";
import { engineContract } from "./contract.ts";
import { etcdRig } from "./rigs.ts";

setDefaultTimeout(120_000);

let etcd: EtcdProcesses;
beforeAll(async () => {
  etcd = await EtcdProcesses.start();
});
afterAll(() => etcd[Symbol.dispose]());

engineContract("etcd", () => etcdRig(etcd));
