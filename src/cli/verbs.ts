/**
 * The table of verbs: one line each, loaded when it is asked for, so that `node-x version` does not pay for
 * the rest.
 */
import { familyVerbs } from "../family-verbs.ts";
import type { VerbTable } from "./verb.ts";

export const verbs: VerbTable = {
  run: async () => (await import("./run.ts")).runVerb,
  up: async () => (await import("./up.ts")).upVerb,
  roles: async () => (await import("./roles.ts")).rolesVerb,
  init: async () => (await import("./init.ts")).initVerb,
  check: async () => (await import("./check.ts")).checkVerb,
  config: async () => (await import("./config.ts")).configVerb,
  health: async () => (await import("./health.ts")).healthVerb,
  bench: async () => (await import("./bench.ts")).benchVerb,
  scale: async () => (await import("./scale.ts")).scaleVerb,
  ...familyVerbs,
  deploy: async () => (await import("./cluster/deploy.ts")).deployVerb,
  start: async () => (await import("./cluster/deploy.ts")).startVerb,
  stop: async () => (await import("./cluster/stop.ts")).stopVerb,
  kill: async () => (await import("./cluster/kill.ts")).killVerb,
  restart: async () => (await import("./cluster/stop.ts")).restartVerb,
  upgrade: async () => (await import("./cluster/deploy.ts")).upgradeVerb,
  rollback: async () => (await import("./cluster/rollback.ts")).rollbackVerb,
  move: async () => (await import("./cluster/move.ts")).moveVerb,
  status: async () => (await import("./cluster/status.ts")).statusVerb,
  top: async () => (await import("./cluster/top.ts")).topVerb,
  logs: async () => (await import("./cluster/logs.ts")).logsVerb,
  exec: async () => (await import("./cluster/exec.ts")).execVerb,
  lock: async () => (await import("./cluster/lock.ts")).lockVerb,
  unlock: async () => (await import("./cluster/lock.ts")).unlockVerb,
  audit: async () => (await import("./cluster/audit.ts")).auditVerb,
  destroy: async () => (await import("./cluster/destroy.ts")).destroyVerb,
  unit: async () => (await import("./unit.ts")).unitVerb,
  agent: async () => (await import("./agent.ts")).agentVerb,
  supervise: async () => (await import("./supervise.ts")).superviseVerb,
  doctor: async () => (await import("./doctor.ts")).doctorVerb,
  selftest: async () => (await import("./selftest.ts")).selftestVerb,
  tls: async () => (await import("./tls.ts")).tlsVerb,
  version: async () => (await import("./version.ts")).versionVerb,
  completion: async () => (await import("./completion.ts")).completionVerb,
  man: async () => (await import("./man.ts")).manVerb,
};
