/** One run of a sender from its start to its end: for the command line, demos and tests. */
import type { World } from "../../core/role.ts";
import { silentLog } from "../../core/logging/log.ts";
import type { SendingConfig } from "./config.ts";
import { Sender, type SenderReport } from "./sender.ts";

export interface SendOnceOptions {
  world: Pick<World, "net" | "clock" | "disk">;
  config: SendingConfig;
  /** 0: none. */
  timeoutMs: number;
  interrupted: AbortSignal;
  onProgress?(sender: Sender): void;
}

export interface SendOnceResult extends SenderReport {
  /** False: out of time or interrupted. */
  isDone: boolean;
  /** What kept it from going on. */
  troubles: string[];
}

const PROGRESS_MS = 200;

export async function sendOnce(options: SendOnceOptions): Promise<SendOnceResult> {
  const { world, config, timeoutMs, interrupted, onProgress } = options;
  const { promise: done, resolve: finish } = Promise.withResolvers<void>();
  const sender = await Sender.open({
    world,
    config,
    log: silentLog(),
    instance: "stream-send",
    onDone: finish,
  });
  const onAbort = () => finish();
  interrupted.addEventListener("abort", onAbort);
  if (interrupted.aborted) finish();
  const timer = timeoutMs === 0 ? undefined : world.clock.after(timeoutMs, finish);
  const progress = world.clock.every(PROGRESS_MS, () => onProgress?.(sender));
  try {
    sender.start();
    await done;
    return { isDone: sender.isDone, troubles: sender.troubles, ...sender.report() };
  } finally {
    interrupted.removeEventListener("abort", onAbort);
    progress.cancel();
    timer?.cancel();
    sender.stop();
  }
}
