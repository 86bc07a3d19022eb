/** Ctrl-C ends long work early, with a report of what was done; a second one ends the process. */

/** Runs `work` with a signal that SIGINT and SIGTERM abort. */
export async function interruptible<Value>(
  work: (interrupted: AbortSignal) => Promise<Value>,
): Promise<Value> {
  const interruption = new AbortController();
  const interrupt = () => interruption.abort();
  process.once("SIGINT", interrupt);
  process.once("SIGTERM", interrupt);
  try {
    return await work(interruption.signal);
  } finally {
    process.off("SIGINT", interrupt);
    process.off("SIGTERM", interrupt);
  }
}
