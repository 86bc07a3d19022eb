/** Items of several sources, handed on one by one; a source waits until its item was taken. */
export class Feed<Item> {
  isEnded = false;
  #sources: number;
  #items: { item: Item; taken(): void }[] = [];
  #error: Error | undefined;
  #wake: () => void = () => {};

  constructor(sources: number) {
    this.#sources = sources;
  }

  push(item: Item): Promise<void> {
    return new Promise((taken) => {
      this.#items.push({ item, taken });
      this.#wake();
    });
  }

  finished(): void {
    this.#sources--;
    this.#wake();
  }

  fail(error: Error): void {
    this.#error ??= error;
    this.#wake();
  }

  end(): void {
    this.isEnded = true;
    for (const { taken } of this.#items.splice(0)) taken();
  }

  async *items(): AsyncGenerator<Item> {
    while (!this.isEnded) {
      const next = this.#items.shift();
      if (next !== undefined) {
        yield next.item;
        next.taken();
      } else if (this.#error !== undefined) throw this.#error;
      else if (this.#sources === 0) return;
      else await new Promise<void>((resolve) => (this.#wake = resolve));
    }
  }
}
