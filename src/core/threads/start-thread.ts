/**
 * Starts a thread (a Worker) of this program from a file `*.thread.ts`, in a checkout and in the executable alike.
 *
 * Invariant: every file named `*.thread.ts` under src/ is an entry point of the executable (build.ts), because a thread
 * whose file was not bundled cannot start. A thread keeps nothing that a crash could take: it works on what it is sent.
 */
import { buildInfo } from "../build-info.ts";

/** Where src/ is: inside the executable its files keep their paths, under a root of their own. */
const base = buildInfo.isCompiled ? "file:///$bunfs/root/" : new URL("../../", import.meta.url).href;

/** `path` is that of the file under src/, such as `channels/logfiles/scan/scan.thread.ts`. */
export function startThread(path: `${string}.thread.ts`): Worker {
  return new Worker(new URL(path, base).href);
}
