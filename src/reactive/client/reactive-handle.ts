/** What the application holds of a reactive transaction, and the same as an asynchronous iterator. */
import { deferred } from "./deferred.ts";
import type { SnapshotReader } from "./transaction-handle.ts";
import type { ReactiveCode, ReactiveOptions, RunInfo, Watch } from "./watch.ts";

export interface ReactiveHandle {
  readonly id: number;
  /** Of the last run that is done; 0 before. */
  readonly timestamp: number;
  /** No run starts after this call. Resolves when one that is under way is over: do not await it in the code itself. */
  stop(): Promise<void>;
  /** Runs again on the newest state, asked for anew. */
  refetch(): void;
}

export function handleOf(watch: Watch): ReactiveHandle {
  return {
    id: watch.id,
    get timestamp() {
      return watch.timestamp;
    },
    stop: () => watch.stop(),
    refetch: () => watch.refetch(),
  };
}

/**
 * What `code` makes of the store, each time that it changed. Values that nobody has taken yet are replaced by the next one. Ends
 * when the loop is left; throws what the code throws.
 */
export async function* follow<T>(
  start: (code: ReactiveCode, options: ReactiveOptions) => ReactiveHandle,
  code: (transaction: SnapshotReader, run: RunInfo) => Promise<T> | T,
  options: ReactiveOptions,
): AsyncGenerator<T, void, void> {
  let latest: { value: T } | undefined;
  let failure: { error: unknown } | undefined;
  let news = deferred<void>();
  const handle = start(
    async (transaction, run) => {
      latest = { value: await code(transaction, run) };
      news.resolve();
    },
    {
      ...options,
      onError(error) {
        failure = { error };
        news.resolve();
      },
    },
  );
  try {
    for (;;) {
      await news.promise;
      news = deferred<void>();
      if (failure !== undefined) throw failure.error;
      const next = latest;
      latest = undefined;
      if (next !== undefined) yield next.value;
    }
  } finally {
    void handle.stop();
  }
}
