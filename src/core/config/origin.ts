/**
 * Where each value of a configuration came from.
 *
 * Every value keeps its origin from the moment it is read, so an error can point at the line, the variable or
 * the flag that holds the mistake, and `config show --origin` can answer "why does it use this port?".
 */

/** A key as its parts: `["limits", "connections"]`; list positions are numbers. */
export type KeyPath = readonly (string | number)[];

export type Origin =
  | { kind: "file"; file: string; line: number; column: number }
  | { kind: "environment"; variable: string }
  | { kind: "flag"; flag: string }
  | { kind: "fileName"; file: string }
  | { kind: "default" };

/** `limits.connections`; list positions as `peers[1]`. */
export function keyName(path: KeyPath): string {
  return path.reduce<string>((name, part) => {
    if (typeof part === "number") return `${name}[${part}]`;
    return name === "" ? part : `${name}.${part}`;
  }, "");
}

/** For people: `configs/dht.json:4:12`, `NODE_X_DHT_PORT`, `--set port=1`, `default`. */
export function originText(origin: Origin): string {
  switch (origin.kind) {
    case "file":
      return `${origin.file}:${origin.line}:${origin.column}`;
    case "environment":
      return `environment ${origin.variable}`;
    case "flag":
      return origin.flag;
    case "fileName":
      return `file name ${origin.file}`;
    case "default":
      return "default";
  }
}

/** Origins by key name. A value inside a list has the origin of the nearest enclosing key. */
export class Origins {
  readonly #origins = new Map<string, Origin>();

  set(path: KeyPath, origin: Origin): void {
    this.#origins.set(keyName(path), origin);
  }

  /** Notes a value and, when it is an object, each of its members. `originOf` tells where a member stands. */
  setAll(path: KeyPath, value: unknown, originOf: (path: KeyPath) => Origin): void {
    if (path.length > 0) this.set(path, originOf(path));
    if (typeof value !== "object" || value === null || Array.isArray(value)) return;
    for (const [name, member] of Object.entries(value)) this.setAll([...path, name], member, originOf);
  }

  /** The origin of the value of exactly this key; a key nobody wrote is a default, whatever its group is. */
  exact(path: KeyPath): Origin {
    return this.#origins.get(keyName(path)) ?? { kind: "default" };
  }

  /** Where to point for a mistake: the origin of this key or of the nearest key around it. */
  of(path: KeyPath): Origin {
    for (let length = path.length; length > 0; length--) {
      const origin = this.#origins.get(keyName(path.slice(0, length)));
      if (origin !== undefined) return origin;
    }
    return { kind: "default" };
  }

  /** Forgets this key and everything below it, before another source replaces it. */
  forget(path: KeyPath): void {
    const name = keyName(path);
    for (const known of this.#origins.keys()) {
      if (known === name || known.startsWith(`${name}.`) || known.startsWith(`${name}[`))
        this.#origins.delete(known);
    }
  }
}
