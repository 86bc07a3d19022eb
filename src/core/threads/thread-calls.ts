/**
 * Calls into a thread of this program (start-thread.ts), for work that would block the event loop.
 *
 * The thread answers each message with one message. Invariant: every call settles: with the answer, with the error that
 * the work threw, or with one when the thread ends.
 */
import { NxError } from "../errors.ts";
import { startThread } from "./start-thread.ts";

interface CallMessage {
  id: number;
  request: unknown;
}

type ReplyMessage = { id: number } & ({ reply: unknown } | { error: string });

interface Pending {
  resolve(reply: unknown): void;
  reject(error: Error): void;
}

export class ThreadCalls<Request, Reply> {
  readonly #worker: Worker;
  readonly #pending = new Map<number, Pending>();
  #nextId = 0;
  #isEnded = false;

  /** `path` is as for `startThread`. */
  constructor(path: `${string}.thread.ts`) {
    this.#worker = startThread(path);
    this.#worker.onmessage = ({ data }: MessageEvent<ReplyMessage>) => this.#settle(data);
    this.#worker.onerror = (event) => this.#end(event.message);
    this.#worker.addEventListener("close", () => this.#end("the thread has ended"));
  }

  /** Calls in progress. */
  get load(): number {
    return this.#pending.size;
  }

  /** `transfer` moves buffers instead of copying them. */
  call(request: Request, transfer: ArrayBuffer[] = []): Promise<Reply> {
    if (this.#isEnded) return Promise.reject(new NxError("NX_INTERNAL", "the thread has ended"));
    const id = this.#nextId++;
    const { promise, resolve, reject } = Promise.withResolvers<Reply>();
    this.#pending.set(id, { resolve: resolve as Pending["resolve"], reject });
    this.#worker.postMessage({ id, request } satisfies CallMessage, transfer);
    return promise;
  }

  close(): void {
    this.#end("the thread was closed");
    this.#worker.terminate();
  }

  #settle(message: ReplyMessage): void {
    const pending = this.#pending.get(message.id);
    this.#pending.delete(message.id);
    if ("error" in message) pending?.reject(new NxError("NX_INTERNAL", message.error));
    else pending?.resolve(message.reply);
  }

  #end(reason: string): void {
    if (this.#isEnded) return;
    this.#isEnded = true;
    for (const { reject } of this.#pending.values()) reject(new NxError("NX_INTERNAL", reason));
    this.#pending.clear();
  }
}

/** The thread's side: answers each message by `work`, one after the other in the order of arrival. */
export function serveCalls<Request>(
  work: (request: Request) => { reply: unknown; transfer?: ArrayBuffer[] },
): void {
  const scope = globalThis as unknown as {
    onmessage: (event: MessageEvent<CallMessage>) => void;
    postMessage(message: ReplyMessage, transfer: ArrayBuffer[]): void;
  };
  scope.onmessage = ({ data: { id, request } }) => {
    try {
      const { reply, transfer = [] } = work(request as Request);
      scope.postMessage({ id, reply }, transfer);
    } catch (error) {
      scope.postMessage({ id, error: (error as Error).stack ?? String(error) }, []);
    }
  };
}
