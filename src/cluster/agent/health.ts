/**
 * How an instance is, by its own words and by the kernel's: its admin socket, its process.
 *
 * Invariant: an instance counts as healthy only when one and the same process said `ready` at every look for
 * the whole time; a restart in between starts the time anew, and one that keeps restarting never gets there.
 */
import { basename, dirname, join } from "node:path";
import { adminGet } from "../../core/admin-client.ts";
import { errnoOf } from "../../core/errors.ts";
import type { Clock } from "../../core/seams/clock.ts";
import { sleep } from "../../core/seams/clock.ts";
import type { LinkingDisk } from "../../core/seams/disk.ts";
import { readStart } from "../release/files.ts";
import type { ServiceStatus } from "../services/services.ts";
import type { instanceHealth } from "./messages.ts";
import type { z } from "zod";

export type InstanceHealth = z.infer<typeof instanceHealth>;

const ASK_MS = 2000;
const LOOK_MS = 100;
const PROC_BYTES_MAX = 64 << 10;

/** GET on the admin socket of a data directory. */
export type AskAdmin = (socket: string, page: string) => Promise<string>;

export const askAdmin: AskAdmin = async (socket, page) => (await adminGet(socket, page, ASK_MS)).body;

/** What the instance of this data directory says. Never throws. */
export async function healthOf(dataDir: string, ask: AskAdmin): Promise<InstanceHealth> {
  try {
    const stats = JSON.parse(await ask(join(dataDir, "admin.sock"), "/stats")) as Record<string, unknown>;
    const reasons = Array.isArray(stats.reasons) ? stats.reasons.map(String) : [];
    return { isAlive: true, isReady: stats.ready === true, reasons, stats };
  } catch (error) {
    return { isAlive: false, isReady: false, reasons: [(error as Error).message] };
  }
}

export interface ProcessFacts {
  /** Name of the directory that its executable is in: the release. */
  release?: string;
  residentBytes?: number;
}

/** What the kernel says of a process. */
export async function processFacts(disk: LinkingDisk, pid: number): Promise<ProcessFacts> {
  const facts: ProcessFacts = {};
  try {
    facts.release = basename(dirname(await disk.readLink(`/proc/${pid}/exe`)));
    const status = await readStart(disk, `/proc/${pid}/status`, PROC_BYTES_MAX);
    const kib = /^VmRSS:\s+(\d+) kB/m.exec(status)?.[1];
    if (kib !== undefined) facts.residentBytes = Number(kib) * 1024;
  } catch (error) {
    if (errnoOf(error) === undefined && errnoOf((error as Error).cause) === undefined) throw error;
    // It ended meanwhile, or belongs to another user.
  }
  return facts;
}

export interface GateOptions {
  clock: Clock;
  healthyForMs: number;
  readyTimeoutMs: number;
  look(): Promise<{ service: ServiceStatus; health: InstanceHealth }>;
  /** Called when the words change. */
  tell(text: string): Promise<void>;
  signal: AbortSignal;
}

/** Waits until the instance is healthy, or says why it is not. */
export async function gate(options: GateOptions): Promise<{ isHealthy: boolean; reason: string }> {
  const { clock, healthyForMs, readyTimeoutMs, look, tell, signal } = options;
  const deadlineMs = clock.monotonicMs() + readyTimeoutMs;
  let readySince: { pid: number | undefined; atMs: number } | undefined;
  let told = "";
  while (!signal.aborted) {
    const { service, health } = await look();
    const nowMs = clock.monotonicMs();
    const ownPid = health.stats?.pid;
    const isReady =
      service.state === "running" && health.isReady && (ownPid === undefined || ownPid === service.pid);
    if (isReady && readySince !== undefined && readySince.pid === service.pid) {
      if (nowMs - readySince.atMs >= healthyForMs) return { isHealthy: true, reason: "healthy" };
    } else readySince = isReady ? { pid: service.pid, atMs: nowMs } : undefined;
    const words = isReady ? "ready" : waitingWords(service, health);
    const hasEnded = service.restarts > 0 || service.state === "stopped";
    if (hasEnded && !isReady) return { isHealthy: false, reason: words };
    if (words !== told) await tell((told = words));
    // Ready in time, but not for long enough yet, is given that time.
    if (nowMs > deadlineMs && readySince === undefined) {
      return { isHealthy: false, reason: `not ready after ${readyTimeoutMs / 1000} s: ${words}` };
    }
    if (nowMs > deadlineMs + healthyForMs)
      return { isHealthy: false, reason: "it keeps becoming ready and not ready" };
    await sleep(clock, LOOK_MS);
  }
  return { isHealthy: false, reason: "cancelled" };
}

function waitingWords(service: ServiceStatus, health: InstanceHealth): string {
  const ended = service.lastEnd === undefined ? "" : `, it ended with ${service.lastEnd}`;
  if (service.state !== "running") return `${service.state}${ended}`;
  if (service.restarts > 0) return `restarted ${service.restarts === 1 ? "once" : `${service.restarts} times`}${ended}`;
  return health.reasons.join("; ") || "not ready";
}
