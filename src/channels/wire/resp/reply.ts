/**
 * Builds RESP replies in TypeScript, for the commands that C hands out. Each method appends one value and
 * returns the writer; aggregates announce how many values follow.
 *
 * RESP2 has no maps, sets, doubles or verbatim texts: they become flat arrays and bulk strings, as Redis does
 * it.
 */
export type Protocol = 2 | 3;

export class ReplyWriter {
  /** HELLO changes it before it answers. */
  protocol: Protocol;
  readonly #parts: Buffer[] = [];

  constructor(protocol: Protocol) {
    this.protocol = protocol;
  }

  /** The bytes so far. */
  bytes(): Buffer {
    return Buffer.concat(this.#parts);
  }

  #line(text: string): this {
    this.#parts.push(Buffer.from(`${text}\r\n`));
    return this;
  }

  /** A simple string such as OK; no line ends inside. */
  status(text: string): this {
    return this.#line(`+${text}`);
  }

  /** The whole text with its code, e.g. `ERR syntax error`. Line ends become blanks. */
  error(text: string): this {
    return this.#line(`-${text.replace(/[\r\n]/g, " ")}`);
  }

  integer(value: number): this {
    return this.#line(`:${value}`);
  }

  bulk(value: string | Uint8Array): this {
    const bytes = Buffer.from(value as Uint8Array);
    this.#parts.push(Buffer.from(`$${bytes.byteLength}\r\n`), bytes, Buffer.from("\r\n"));
    return this;
  }

  /** Text for people: verbatim in RESP3. */
  verbatim(text: string): this {
    if (this.protocol === 2) return this.bulk(text);
    const bytes = Buffer.from(text);
    this.#parts.push(Buffer.from(`=${bytes.byteLength + 4}\r\ntxt:`), bytes, Buffer.from("\r\n"));
    return this;
  }

  nil(): this {
    return this.#line(this.protocol === 3 ? "_" : "$-1");
  }

  array(count: number): this {
    return this.#line(`*${count}`);
  }

  /** `count` pairs follow. */
  map(count: number): this {
    return this.#line(this.protocol === 3 ? `%${count}` : `*${count * 2}`);
  }

  set(count: number): this {
    return this.#line(this.protocol === 3 ? `~${count}` : `*${count}`);
  }

  /** A whole map of bulk strings. */
  pairs(entries: [string, string][]): this {
    this.map(entries.length);
    for (const [name, value] of entries) this.bulk(name).bulk(value);
    return this;
  }

  /** The answer to `<command> HELP`: status lines in an array. */
  help(command: string, lines: string[]): this {
    const all = [
      `${command} <subcommand> [<arg> [value] [opt] ...]. Subcommands are:`,
      ...lines,
      "HELP",
      "    Prints this help.",
    ];
    this.array(all.length);
    for (const line of all) this.status(line);
    return this;
  }
}

/** The strict integer of Redis (no blanks, no plus, no leading zeros), or undefined. Exact up to 2^53. */
export function readInteger(word: Uint8Array): number | undefined {
  const text = Buffer.from(word).toString("latin1");
  if (!/^(0|-?[1-9][0-9]{0,15})$/.test(text)) return undefined;
  const value = Number(text);
  return Number.isSafeInteger(value) ? value : undefined;
}
