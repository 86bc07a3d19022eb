/**
 * Work on files in a thread of its own, as the role's side sees it.
 *
 * Invariant: one piece is made ahead of the reader and no more, so a reader that stalls holds two pieces. When the
 * thread dies everything under way fails, and `onFatal` is told.
 */
import { NxError } from "../../../core/errors.ts";
import { startThread } from "../../../core/threads/start-thread.ts";
import type { ScanFigures, ScanRequest } from "../scan/request.ts";
import type { Pieces } from "../scan/scan.ts";
import { errorOf, type FromThread, type ToThread } from "./messages.ts";
import type { FileWork, JobName } from "./work.ts";

type Answer = Exclude<FromThread, { kind: "failed" }>;

export class ThreadWork implements FileWork {
  readonly #thread: Worker;
  readonly #waiting = new Map<number, PromiseWithResolvers<Answer>>();
  #nextId = 1;
  #failure: NxError | undefined;

  constructor(onFatal: (error: Error) => void) {
    this.#thread = startThread("channels/logfiles/work/files.thread.ts");
    this.#thread.onmessage = ({ data }: MessageEvent<FromThread>) => this.#receive(data);
    this.#thread.onerror = (event) => {
      this.#failure = new NxError("NX_INTERNAL", `the thread that works on files ended: ${event.message}`);
      for (const { reject } of this.#waiting.values()) reject(this.#failure);
      this.#waiting.clear();
      onFatal(this.#failure);
    };
  }

  #receive(message: FromThread): void {
    const waiting = this.#waiting.get(message.id);
    this.#waiting.delete(message.id);
    if (message.kind === "failed") waiting?.reject(errorOf(message.error));
    else waiting?.resolve(message);
  }

  /** Sends what has an answer. */
  #ask(message: ToThread): Promise<Answer> {
    if (this.#failure !== undefined) return Promise.reject(this.#failure);
    const waiting = Promise.withResolvers<Answer>();
    this.#waiting.set(message.id, waiting);
    this.#thread.postMessage(message);
    return waiting.promise;
  }

  scan(request: ScanRequest): Pieces {
    const id = this.#nextId++;
    // Now, not when the first piece is asked for: the order of requests counts.
    this.#thread.postMessage({ kind: "scan", id, request } satisfies ToThread);
    return new RemoteScan((kind) => this.#ask({ kind, id }));
  }

  run: FileWork["run"] = async (name: JobName, task: unknown) => {
    const answer = await this.#ask({ kind: "job", id: this.#nextId++, name, task });
    return (answer as Extract<Answer, { kind: "done" }>).result as never;
  };

  close(): void {
    this.#thread.terminate();
  }
}

class RemoteScan implements Pieces {
  readonly #ask: (kind: "next" | "close") => Promise<Answer>;
  #ahead: Promise<Answer> | undefined;
  figures: ScanFigures = { records: 0, skipped: 0 };

  constructor(ask: (kind: "next" | "close") => Promise<Answer>) {
    this.#ask = ask;
  }

  async next(): Promise<Uint8Array | undefined> {
    const answer = await (this.#ahead ?? this.#ask("next"));
    this.#ahead = undefined;
    if (answer.kind === "ended" && answer.figures !== undefined) this.figures = answer.figures;
    if (answer.kind !== "piece") return undefined;
    this.#ahead = this.#ask("next");
    this.#ahead.catch(() => undefined);
    return answer.bytes;
  }

  async close(): Promise<void> {
    await this.#ahead?.catch(() => undefined);
    await this.#ask("close");
  }
}
