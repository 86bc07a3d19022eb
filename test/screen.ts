/** What is on a terminal after some output: lines, the cursor, and the sequences that our programs use. Others are an error. */
export class Screen {
  readonly #lines: string[] = [""];
  #row = 0;
  #column = 0;

  write(text: string): void {
    for (const [part, escape] of text.matchAll(/\u001b\[([0-9;]*[A-Za-z])|[^\u001b]/g)) {
      if (escape !== undefined) this.#control(escape);
      else if (part === "\n") this.#newLine();
      else if (part === "\r") this.#column = 0;
      else this.#put(part);
    }
  }

  #put(character: string): void {
    const line = this.#lines[this.#row] ?? "";
    this.#lines[this.#row] =
      line.slice(0, this.#column).padEnd(this.#column) + character + line.slice(this.#column + 1);
    this.#column += 1;
  }

  #newLine(): void {
    this.#row += 1;
    this.#column = 0;
    if (this.#row === this.#lines.length) this.#lines.push("");
  }

  #control(escape: string): void {
    const count = Number.parseInt(escape, 10) || 1;
    const line = this.#lines[this.#row] ?? "";
    switch (escape.at(-1)) {
      case "A":
        this.#row = Math.max(0, this.#row - count);
        return;
      case "K":
        this.#lines[this.#row] = line.slice(0, this.#column);
        return;
      case "J":
        this.#lines[this.#row] = line.slice(0, this.#column);
        this.#lines.length = this.#row + 1;
        return;
      case "m":
        return;
      default:
        throw new Error(`the screen of tests does not know ESC[${escape}`);
    }
  }

  get lines(): string[] {
    return this.#lines.filter((line, index) => line !== "" || index < this.#lines.length - 1);
  }
}
