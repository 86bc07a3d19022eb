/**
 * The metrics of many instances as one Prometheus exposition.
 *
 * In the text format all samples of a name stand together under one HELP and TYPE; instances of different versions may describe
 * a name differently, and the first one counts. What is no exposition adds nothing.
 */
interface Group {
  head: string[];
  samples: string[];
}

const HEAD = /^# (?:HELP|TYPE) ([a-zA-Z_:][a-zA-Z0-9_:]*)/;
const SAMPLE = /^([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{.*\})? \S+(?: -?\d+)?$/;
const SUFFIX = /_(?:bucket|sum|count)$/;

export class Exposition {
  readonly #groups = new Map<string, Group>();

  /** Adds what one instance said. */
  add(text: string): void {
    const described = new Set<string>();
    for (const line of text.split("\n")) {
      const head = HEAD.exec(line)?.[1];
      if (head !== undefined) this.#describe(head, line, described);
      else this.#sample(line);
    }
  }

  #describe(name: string, line: string, described: Set<string>): void {
    const known = this.#groups.get(name);
    if (known === undefined) {
      this.#groups.set(name, { head: [line], samples: [] });
      described.add(name);
    } else if (described.has(name)) known.head.push(line);
  }

  #sample(line: string): void {
    const name = SAMPLE.exec(line)?.[1];
    if (name === undefined) return;
    const family = this.#groups.has(name) ? name : name.replace(SUFFIX, "");
    let group = this.#groups.get(family);
    if (group === undefined) {
      group = { head: [], samples: [] };
      this.#groups.set(family, group);
    }
    group.samples.push(line);
  }

  text(): string {
    const groups = [...this.#groups.values()].filter(({ samples }) => samples.length > 0);
    return groups.map(({ head, samples }) => `${[...head, ...samples].join("\n")}\n`).join("\n");
  }
}

/** A label's value as the format wants it. */
export function labelText(value: string): string {
  return value.replaceAll("\\", "\\\\").replaceAll("\n", "\\n").replaceAll('"', '\\"');
}
