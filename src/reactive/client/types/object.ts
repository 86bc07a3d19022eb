/**
 * Objects whose fields are variables of their own: `object("game:1", { score: counter, players: list })` has the counter
 * `game:1:score` and the list `game:1:players`. Fields are read and conflict one by one.
 */
import type { Variable } from "./variable.ts";

/** What kind of variable each field is: `counter`, `list`, `(key) => list(key, asLong)` … */
export type Shape = Record<string, (key: string) => Variable>;

export type Fields<Of extends Shape> = { readonly [Name in keyof Of]: ReturnType<Of[Name]> };

export function object<Of extends Shape>(key: string, shape: Of): Fields<Of> {
  const fields = Object.entries(shape).map(([name, type]) => [name, type(`${key}:${name}`)]);
  return Object.freeze(Object.fromEntries(fields)) as Fields<Of>;
}
