/**
 * What a dying process leaves behind: one line in its log and a crash file in its data directory.
 *
 * Invariant: nobody has to guess why an instance ended. Written synchronously, because nothing else may run any more.
 */
import { readdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { buildInfo } from "../build-info.ts";
import { NxError } from "../errors.ts";
import type { Log } from "../logging/log.ts";

/** A process that is restarted for ever must not fill the disk with reports. */
const CRASH_FILES_MAX = 20;

/** Logs the reason and writes `crash-<time>.json`; returns the exit code. */
export function writeLastWords(error: unknown, log: Log, dataDir: string, nowMs: number): number {
  const known = error instanceof NxError ? error : undefined;
  const message = error instanceof Error ? error.message : String(error);
  const code = known?.code ?? "NX_INTERNAL";
  const file = join(dataDir, `crash-${new Date(nowMs).toISOString().replaceAll(":", "")}.json`);
  const report = {
    time: new Date(nowMs).toISOString(),
    code,
    message,
    hint: known?.hint,
    stack: error instanceof Error ? error.stack : undefined,
    cause: known?.cause instanceof Error ? known.cause.message : known?.cause,
    version: buildInfo.version,
    commit: buildInfo.commit,
    bun: buildInfo.bun,
  };
  try {
    removeOldest(dataDir);
    writeFileSync(file, `${JSON.stringify(report, null, 2)}\n`, { mode: 0o600 });
    log.fatal(message, { code, crashFile: file });
  } catch {
    log.fatal(message, { code });
  }
  return known?.exit ?? 70;
}

/** Names sort by time. */
function removeOldest(dataDir: string): void {
  const files = readdirSync(dataDir)
    .filter((name) => /^crash-.*\.json$/.test(name))
    .sort();
  for (const name of files.slice(0, Math.max(0, files.length - CRASH_FILES_MAX + 1)))
    rmSync(join(dataDir, name), { force: true });
}
