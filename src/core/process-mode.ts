/**
 * An instance in a process of its own: signals, service manager, log files, the live console line, exit code.
 *
 *   SIGTERM SIGINT SIGQUIT   drain and stop; a second one ends the process at once
 *   SIGHUP                   reopen the log files, read the configuration again
 *   SIGUSR1                  reopen the log files only
 *
 * Invariant: the process ends with the exit code of what ended it, after last words if that was a failure. It is
 * crash-only: `kill -9` at any moment is a supported way to stop, the role's log takes care of what was acknowledged.
 */
import { join } from "node:path";
import type { LoadedConfig } from "./config/load.ts";
import { changeText } from "./config/reload.ts";
import type { Timer } from "./clock.ts";
import { makeDurableDirectory } from "./durable-files.ts";
import { Exit, NxError } from "./errors.ts";
import { Instance } from "./instance.ts";
import { writeLastWords } from "./last-words.ts";
import { formatJson, formatText, logOutput, logTimestamp, type LogLevel, type LogTarget } from "./log.ts";
import type { Role, World } from "./role.ts";
import { RotatingFile } from "./rotating-file.ts";
import { connectServiceManager } from "./service-manager.ts";

export interface ProcessOptions {
  role: Role;
  loaded: LoadedConfig;
  /** Reads the configuration again, from the same sources. */
  reloadConfig(): Promise<LoadedConfig>;
  world: World;
  environment: Record<string, string | undefined>;
  stderr: { isTty: boolean; columns: number | undefined; write(text: string): void };
}

interface LogKeys {
  level: LogLevel;
  file: string;
  statsFile: string;
  statsPeriodMs: number;
  fileBytesMax: number;
  filesMax: number;
  console: "auto" | "line" | "json" | "text" | "off";
}

type ConsoleMode = Exclude<LogKeys["console"], "auto">;

function consoleMode({ stderr, environment }: ProcessOptions, wanted: LogKeys["console"]): ConsoleMode {
  if (wanted !== "auto") return wanted;
  if (environment.JOURNAL_STREAM !== undefined) return "json";
  return stderr.isTty ? "line" : "text";
}

const CONSOLE_PERIOD_MS = 1000;
/** Erases from the cursor to the end of the line. */
const ERASE = "\x1b[K";

/** Runs until the instance has stopped; resolves with the exit code. */
export async function runInProcess(options: ProcessOptions): Promise<number> {
  const { role, loaded, world, environment, stderr } = options;
  const keys = loaded.config.log as LogKeys;
  const manager = connectServiceManager(environment, world.clock);
  const mode = consoleMode(options, keys.console);
  const console = consoleTarget(mode, stderr);
  const output = logOutput(keys.level, console === undefined ? [] : [console]);
  const files: RotatingFile[] = [];
  const timers: Timer[] = [];
  let finish: (code: number) => void = () => {};
  const finished = new Promise<number>((resolve) => {
    finish = resolve;
  });

  let instance: Instance | undefined;
  const die = (error: unknown) => {
    const code = instance === undefined ? exitOf(error) : writeLastWords(error, instance.log, loaded.dataDir, world.clock.nowMs());
    manager.stopping();
    finish(code);
  };
  const signals = listenToSignals({
    stop: async () => {
      if (instance === undefined) return finish(Exit.ok);
      if (mode === "line") stderr.write(`\rShutting down.${ERASE}\n`);
      manager.stopping();
      await instance.stop();
      finish(Exit.ok);
    },
    force: () => finish(Exit.failed),
    reopen: () => files.forEach((file) => file.reopen()),
    reload: async () => {
      manager.reloading();
      if (instance !== undefined) await reload(instance, options);
      manager.ready("ready");
    },
    crash: die,
  });

  try {
    await makeDurableDirectory(world.disk, loaded.dataDir);
    const rotation = { bytesMax: keys.fileBytesMax, filesMax: keys.filesMax };
    const rootLog = new RotatingFile(join(loaded.dataDir, keys.file), rotation);
    const statsLog = new RotatingFile(join(loaded.dataDir, keys.statsFile), rotation);
    files.push(rootLog, statsLog);
    output.targets.push({ sink: rootLog, format: formatText });
    instance = await Instance.start(role, loaded, { world, logOutput: output, onFatal: die, onStatus: (text) => manager.status(text) });
    manager.ready(`${loaded.instance} is ready`);
    timers.push(...periodicLines(instance, options, keys, statsLog, mode));
    return await finished;
  } catch (error) {
    if (!(error instanceof NxError)) die(error);
    throw error;
  } finally {
    signals.stop();
    for (const timer of timers) timer.cancel();
    manager.close();
    for (const file of files) file.close();
  }
}

function exitOf(error: unknown): number {
  return error instanceof NxError ? error.exit : Exit.internal;
}

function consoleTarget(mode: ConsoleMode, stderr: ProcessOptions["stderr"]): LogTarget | undefined {
  if (mode === "off") return undefined;
  // On the live line a log line first takes the line's place; the next second redraws it below.
  const prefix = mode === "line" ? `\r${ERASE}` : "";
  return { sink: { write: (line) => stderr.write(`${prefix}${line}\n`) }, format: mode === "json" ? formatJson : formatText };
}

/** The line of figures in stats.log, aligned to the clock, and the live line on a terminal. */
function periodicLines(instance: Instance, { world, stderr }: ProcessOptions, keys: LogKeys, statsLog: RotatingFile, mode: ConsoleMode): Timer[] {
  const timers: Timer[] = [];
  const writeStats = () => {
    const line = instance.statsLine();
    if (line !== undefined) statsLog.write(`${logTimestamp(world.clock.nowMs())} ${line}`);
  };
  const toNextPeriod = keys.statsPeriodMs - (world.clock.nowMs() % keys.statsPeriodMs);
  timers.push(
    world.clock.after(toNextPeriod, () => {
      writeStats();
      timers.push(world.clock.every(keys.statsPeriodMs, writeStats));
    }),
  );
  if (mode === "line") {
    timers.push(
      world.clock.every(CONSOLE_PERIOD_MS, () => {
        const line = instance.consoleLine();
        if (line !== undefined) stderr.write(`\r${Bun.sliceAnsi(line, 0, (stderr.columns ?? 80) - 1)}${ERASE}`);
      }),
    );
  }
  return timers;
}

async function reload(instance: Instance, options: ProcessOptions): Promise<void> {
  try {
    const changes = await instance.reload(await options.reloadConfig());
    if (changes.length === 0) instance.log.info("configuration read again, nothing changed");
    for (const change of changes) instance.log.info(`applied ${changeText(change)}`);
  } catch (error) {
    instance.log.error(`reload refused, nothing was applied: ${(error as Error).message}`, { code: (error as NxError).code });
  }
}

interface SignalActions {
  stop(): Promise<void>;
  force(): void;
  reopen(): void;
  reload(): Promise<void>;
  crash(error: unknown): void;
}

function listenToSignals(actions: SignalActions): { stop(): void } {
  let isStopping = false;
  const onStop = () => {
    if (isStopping) return actions.force();
    isStopping = true;
    actions.stop().catch(actions.crash);
  };
  const onReload = () => {
    actions.reopen();
    actions.reload().catch(actions.crash);
  };
  const listeners: [string, (...words: never[]) => void][] = [
    ["SIGTERM", onStop],
    ["SIGINT", onStop],
    ["SIGQUIT", onStop],
    ["SIGHUP", onReload],
    ["SIGUSR1", () => actions.reopen()],
    ["uncaughtException", (error: never) => actions.crash(error)],
    ["unhandledRejection", (error: never) => actions.crash(error)],
  ];
  for (const [event, listener] of listeners) process.on(event, listener as () => void);
  return {
    stop: () => {
      for (const [event, listener] of listeners) process.off(event, listener as () => void);
    },
  };
}
