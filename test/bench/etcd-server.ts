/** etcd as processes of their own, in a directory of their own, and a client of the first member. */
import { mkdirSync } from "node:fs";
import { EtcdProcesses } from "../e2e/etcd-processes.ts";
import { EtcdClient } from "./etcd-client.ts";
import { benchDirectory } from "./servers.ts";

export interface EtcdServer {
  client: EtcdClient;
  endpoints: readonly string[];
  stop(): Promise<void>;
}

export async function startEtcdServer(members: number): Promise<EtcdServer> {
  mkdirSync(benchDirectory, { recursive: true });
  const etcd = await EtcdProcesses.start({ members, parent: benchDirectory });
  const client = new EtcdClient(etcd.endpoints[0] as string);
  return {
    client,
    endpoints: etcd.endpoints,
    async stop() {
      client.close();
      for (const member of etcd.endpoints.keys()) await etcd.kill(member);
      etcd[Symbol.dispose]();
    },
  };
}
