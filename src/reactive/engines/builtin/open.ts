/**
 * The built-in engine of a frontend: clients of the timestamp servers and shards that its configuration names, and the one who
 * settles what other frontends left.
 */
import type { RoleContext } from "../../../core/role.ts";
import { readSecret } from "../../../core/secret-file.ts";
import { callerTlsOf } from "../../../core/sockets/tls.ts";
import { addressesOf } from "../../group-role.ts";
import { GroupClient } from "../../replication/group-client.ts";
import type { LocalReplica } from "../../replication/replica-line.ts";
import { shardGroup } from "../../shard/role.ts";
import { TimestampClient } from "../../tss/client.ts";
import { TSS_GROUP } from "../../tss/role.ts";
import type { RunningEngine } from "../engine.ts";
import { Backend } from "./backend.ts";
import { Settler } from "./settler.ts";

export interface BuiltinConfig {
  timestampServers: readonly string[];
  shards: readonly (readonly string[])[];
  peerCa?: string | undefined;
  tokenFile?: string | undefined;
  requestTimeoutMs: number;
  settleAfterMs: number;
}

/** Replicas that are in the frontend's own process: the same one of each group. */
export interface ReplicasHere {
  index: number;
  timestampServer: LocalReplica;
  shards: readonly LocalReplica[];
}

/** Throws NX_SECRET_UNUSABLE, NX_CONFIG_INVALID. */
export function openBuiltin(context: RoleContext<BuiltinConfig>, here?: ReplicasHere): RunningEngine {
  const { config, clock, log } = context;
  const tls = callerTlsOf(context.tls, config.peerCa);
  const token = config.tokenFile === undefined ? undefined : readSecret("tokenFile", config.tokenFile);
  const client = (group: string, addresses: readonly string[], replica: LocalReplica | undefined) =>
    new GroupClient({
      world: context,
      group,
      replicas: addressesOf(addresses),
      timeoutMs: config.requestTimeoutMs,
      ...(token !== undefined && { token }),
      ...(tls !== undefined && { tls }),
      ...(here !== undefined && replica !== undefined && { here: { index: here.index, replica } }),
    });
  const tss = client(TSS_GROUP, config.timestampServers, here?.timestampServer);
  const shards = config.shards.map((addresses, shard) =>
    client(shardGroup(shard), addresses, here?.shards[shard]),
  );
  const engine = new Backend(shards, new TimestampClient(tss), clock);
  const settler = new Settler(engine, clock, log.child("settler"), config.settleAfterMs);
  return {
    name: "builtin",
    engine,
    get settled() {
      return settler.settled;
    },
    stats: () => ({ shards: shards.length }),
    stop() {
      settler.stop();
      for (const group of [tss, ...shards]) group.close();
    },
  };
}
