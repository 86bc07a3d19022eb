/** The engine that a frontend's configuration names. The only place that knows all of them. */
import type { RoleContext } from "../../core/role.ts";
import { type BuiltinConfig, openBuiltin } from "./builtin/open.ts";
import type { RunningEngine } from "./engine.ts";
import type { EtcdConfig } from "./etcd/config.ts";
import { openEtcd } from "./etcd/open.ts";

export type EngineConfig = BuiltinConfig & { engine?: { etcd?: EtcdConfig | undefined } | undefined };

/** Throws NX_SECRET_UNUSABLE, NX_CONFIG_INVALID. */
export function openEngine(context: RoleContext<EngineConfig>): RunningEngine {
  const { engine, requestTimeoutMs } = context.config;
  if (engine?.etcd !== undefined) return openEtcd(context, engine.etcd, requestTimeoutMs);
  return openBuiltin(context);
}
