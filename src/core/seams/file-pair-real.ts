/**
 * The real side of file-pair.ts: reads out of the page cache by one call into C, copies and writes in a thread that all pairs of a
 * disk share. The thread lives while a pair is open.
 */
import { extentEnd, readStretchesNow } from "../../native/stretches.ts";
import { ThreadCalls } from "../threads/thread-calls.ts";
import { nativeDiskError } from "./disk-error.ts";
import type { FilePair } from "./file-pair.ts";
import type { CopyRequest } from "./stretches.thread.ts";

export class CopyThread {
  #calls: ThreadCalls<CopyRequest, number> | undefined;
  #pairs = 0;

  pair(first: { fd: number; path: string }, second: { fd: number; path: string }): FilePair {
    this.#pairs += 1;
    let isOpen = true;
    return {
      readNow: (stretches, out) => readStretchesNow(first.fd, second.fd, stretches, out),
      copy: (stretches) => this.#call({ from: first.fd, to: second.fd, stretches }, second.path),
      write: (memory, stretches) => {
        const { address, length } = memory;
        return this.#call({ from: { address, length }, to: second.fd, stretches }, second.path);
      },
      extent: (offset, size) => extentEnd(second.fd, offset, size),
      close: () => {
        if (!isOpen) return;
        isOpen = false;
        this.#pairs -= 1;
        if (this.#pairs > 0) return;
        this.#calls?.close();
        this.#calls = undefined;
      },
    };
  }

  async #call(request: CopyRequest, path: string): Promise<void> {
    this.#calls ??= new ThreadCalls("core/seams/stretches.thread.ts");
    const result = await this.#calls.call(request);
    if (result < 0) throw nativeDiskError(result, "copy", path);
  }
}
