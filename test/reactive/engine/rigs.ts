/**
 * The engines that the contract is asked of, each as two frontends have it over one store: the built-in one over shards in this
 * process, whose messages arrive in any order, and the one in etcd over a real etcd.
 */
import { realClock } from "../../../src/core/seams/clock.ts";
import { Backend } from "../../../src/reactive/engines/builtin/backend.ts";
import type { Engine } from "../../../src/reactive/engines/engine.ts";
import { EtcdEngine, type EtcdEngineOptions } from "../../../src/reactive/engines/etcd/engine.ts";
import { type Etcd, Gateway } from "../../../src/reactive/engines/etcd/gateway.ts";
import { shardDefaults } from "../../../src/reactive/shard/service.ts";
import { Watching } from "../../../src/reactive/frontend/watches/watching.ts";
import { until as untilTrue } from "../../e2e/executable.ts";
import type { EtcdProcesses } from "../../e2e/etcd-processes.ts";
import { mailClock } from "../frontend/watch-harness.ts";
import { shardCluster } from "../shard/shard-harness.ts";

export interface Rig {
  /** Two of one store. */
  engines: readonly [Engine, Engine];
  watchings: readonly [Watching, Watching];
  /** Waits for what an engine promised. */
  run<Result>(promise: Promise<Result>): Promise<Result>;
  until(what: string, holds: () => boolean): Promise<void>;
  close(): void;
}

export function builtinRig(seed: number): Rig {
  const cluster = shardCluster({ shards: 2, seed, settings: { ...shardDefaults, retentionMs: 1e12 } });
  const { mail } = cluster;
  const clock = mailClock(mail);
  const open = () => new Backend(cluster.groups, { next: cluster.next }, clock);
  const engines = [open(), open()] as const;
  const watchings = [new Watching(engines[0], clock), new Watching(engines[1], clock)] as const;
  return {
    engines,
    watchings,
    async run(promise) {
      // Who watches asks all the time, so there is always a message under way.
      await mail.run(promise);
      // A commit that one shard has yet to carry out would refuse others, rightly.
      await mail.run(Promise.all(engines.map((engine) => engine.coordinator.idle())));
      return promise;
    },
    async until(what, holds) {
      for (let turn = 0; turn < 20_000 && !holds(); turn++) await mail.run(mail.turn());
      if (!holds()) throw new Error(`${what}: not so after 20 000 messages`);
    },
    close() {
      for (const watching of watchings) watching.stop();
      cluster.close();
    },
  };
}

export interface EtcdRig extends Rig {
  /** Of its store. */
  prefix: string;
  engines: readonly [EtcdEngine, EtcdEngine];
}

let stores = 0;

/** A store of its own in a running etcd. `members`: where the first engine reaches it, if not directly. */
export function etcdRig(
  etcd: EtcdProcesses,
  options: Partial<EtcdEngineOptions> = {},
  members: readonly string[] = etcd.endpoints,
  prefix = `store${++stores}/`,
): EtcdRig {
  const timeoutMs = options.timeoutMs ?? 20_000;
  const { clock = realClock } = options;
  // A busy machine is not taken for a member that is gone.
  const attemptMs = Math.min(10_000, (2 * timeoutMs) / 3);
  const gateways = [members, etcd.endpoints].map(
    (endpoints) => new Gateway({ clock, endpoints, attemptMs, timeoutMs }),
  );
  const open = (gateway: Etcd) =>
    new EtcdEngine({
      etcd: gateway,
      clock: realClock,
      prefix,
      operationsMax: 128,
      outcomeRetentionMs: 600_000,
      deletedRetentionMs: 600_000,
      silenceMs: 4000,
      timeoutMs,
      onWentBack: (from, to) => {
        throw new Error(`from ${from} to ${to}`);
      },
      ...options,
    });
  const engines = [open(gateways[0] as Gateway), open(gateways[1] as Gateway)] as const;
  const watchings = [new Watching(engines[0], realClock), new Watching(engines[1], realClock)] as const;
  return {
    prefix,
    engines,
    watchings,
    run: (promise) => promise,
    until: (what, holds) => untilTrue(what, () => holds() || undefined).then(() => undefined),
    close() {
      for (const watching of watchings) watching.stop();
      for (const engine of engines) engine.stop();
      for (const gateway of gateways) gateway.close();
    },
  };
}
