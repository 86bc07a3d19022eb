/** Messages of one request that wait to be read, in order; at most one reader waits for the next one. */
export class MessageQueue {
  #messages: Uint8Array[] = [];
  #wanted: { resolve(message: Uint8Array): void; reject(error: Error): void } | undefined;
  #error: Error | undefined;

  get length(): number {
    return this.#messages.length;
  }

  push(message: Uint8Array): void {
    const wanted = this.#wanted;
    this.#wanted = undefined;
    if (wanted === undefined) this.#messages.push(message);
    else wanted.resolve(message);
  }

  /** No more messages come; those that are here may still be taken. */
  fail(error: Error): void {
    this.#error ??= error;
    this.#wanted?.reject(this.#error);
    this.#wanted = undefined;
  }

  take(): Promise<Uint8Array> {
    const next = this.#messages.shift();
    if (next !== undefined) return Promise.resolve(next);
    if (this.#error !== undefined) return Promise.reject(this.#error);
    const { promise, resolve, reject } = Promise.withResolvers<Uint8Array>();
    this.#wanted = { resolve, reject };
    return promise;
  }
}
