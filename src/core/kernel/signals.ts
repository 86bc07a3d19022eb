/**
 * The signals of a process that runs one instance.
 *
 *   SIGTERM SIGINT SIGQUIT   stop; a second one forces
 *   SIGHUP                   reopen the log files, read the configuration again
 *   SIGUSR1                  reopen the log files only
 *
 * Exceptions and rejections that nobody caught arrive here too: they end the process.
 */

export interface SignalActions {
  stop(signal: string): void;
  /** A second signal to stop. */
  force(signal: string): void;
  reopen(): void;
  reload(): void;
  crash(error: unknown): void;
}

/** Listens until the returned function is called. */
export function listenToSignals(actions: SignalActions): () => void {
  let isStopping = false;
  const onStop = (signal: string) => {
    if (isStopping) return actions.force(signal);
    isStopping = true;
    actions.stop(signal);
  };
  const onReload = () => {
    actions.reopen();
    actions.reload();
  };
  const listeners: [string, (word: never) => void][] = [
    ["SIGTERM", onStop],
    ["SIGINT", onStop],
    ["SIGQUIT", onStop],
    ["SIGHUP", onReload],
    ["SIGUSR1", () => actions.reopen()],
    ["uncaughtException", (error: unknown) => actions.crash(error)],
    ["unhandledRejection", (error: unknown) => actions.crash(error)],
  ];
  for (const [event, listener] of listeners) process.on(event, listener as () => void);
  return () => {
    for (const [event, listener] of listeners) process.off(event, listener as () => void);
  };
}
