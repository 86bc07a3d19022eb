/** The engine of a frontend whose configuration names an etcd. Invariant: the password is read from its file and kept here only. */
import { NxError } from "../../../core/errors.ts";
import type { RoleContext } from "../../../core/role.ts";
import { readBounded, readPrivateFile, readSecret } from "../../../core/secret-file.ts";
import type { RunningEngine } from "../engine.ts";
import type { EtcdConfig } from "./config.ts";
import { EtcdEngine } from "./engine.ts";
import { Gateway } from "./gateway.ts";

const PEM_BYTES_MAX = 1024 * 1024;
/** A watch is silent for longer than a few attempts: it is made anew. */
const SILENT_ATTEMPTS = 2;

/** Throws NX_SECRET_UNUSABLE. */
export function openEtcd(
  { clock, fatal }: Pick<RoleContext<unknown>, "clock" | "fatal">,
  config: EtcdConfig,
  timeoutMs: number,
): RunningEngine {
  const { endpoints, attemptMs, prefix, operationsMax, outcomeRetentionMs, deletedRetentionMs } = config;
  const gateway = new Gateway({
    clock,
    endpoints,
    tls: tlsOf(config.tls),
    credentials: credentialsOf(config),
    attemptMs,
    timeoutMs,
  });
  const silenceMs = SILENT_ATTEMPTS * attemptMs;
  const engine = new EtcdEngine({
    etcd: gateway,
    clock,
    prefix,
    operationsMax,
    timeoutMs,
    outcomeRetentionMs,
    deletedRetentionMs,
    silenceMs,
    onWentBack: (from, to) => fatal(wentBack(from, to)),
  });
  return {
    name: "etcd",
    engine,
    settled: 0,
    get trouble() {
      return gateway.trouble;
    },
    stats: () => ({ endpoint: gateway.endpoint, ...gateway.figures, ...engine.figures }),
    stop() {
      engine.stop();
      gateway.close();
    },
  };
}

function wentBack(from: number, to: number): NxError {
  return new NxError("NX_ETCD_WENT_BACK", `etcd is at revision ${to}, it was at ${from}`, {
    hint: "start the frontend again, and let clients load anew",
  });
}

function credentialsOf({ user, passwordFile }: EtcdConfig): { name: string; password: string } | undefined {
  if (user === undefined || passwordFile === undefined) return undefined;
  return { name: user, password: readSecret("engine.etcd.passwordFile", passwordFile) };
}

function tlsOf(tls: EtcdConfig["tls"]): { ca?: string; cert?: string; key?: string } | undefined {
  if (tls === undefined) return undefined;
  return {
    ...(tls.ca !== undefined && { ca: readBounded(tls.ca, PEM_BYTES_MAX) }),
    ...(tls.cert !== undefined && { cert: readBounded(tls.cert, PEM_BYTES_MAX) }),
    ...(tls.key !== undefined && { key: readPrivateFile(tls.key, PEM_BYTES_MAX) }),
  };
}
