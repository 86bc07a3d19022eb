/** The types that are served at /client.d.ts say what the library is: the compiler compares them, this test their names. */
import { expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import type * as Declared from "../../src/reactive/client-types.d.ts";
import * as library from "../../src/reactive/client.ts";

type Functions = {
  [
    Name in keyof typeof Declared as (typeof Declared)[Name] extends new (...given: never[]) => unknown
      ? never
      : Name
  ]: (typeof Declared)[Name];
};
// What a program gets is what it was told: each of these lines fails to compile when it is not.
const functions: Omit<Functions, "Client" | "originalCalls" | "connect" | "object"> = library;
const client: (given: library.Client) => Declared.Client = (given) => given as Declared.Client;
const methods = (given: library.Client): Omit<Declared.Client, "resolve"> => given;
const calls: (given: library.OriginalCalls) => Declared.OriginalCalls = (given) => given;
const options: (given: Declared.ClientOptions) => library.ClientOptions = (given) => given;
const errors: (given: library.RequestError & library.AbortedError) => Declared.RequestError = (given) =>
  given;

test("every name of the library is declared, and none that it does not have", () => {
  const text = readFileSync(join(import.meta.dir, "../../src/reactive/client-types.d.ts"), "utf8");
  const declared = [...text.matchAll(/^export (?:declare class|function|const) (\w+)/gm)].map(
    ([, name]) => name,
  );
  expect([...new Set(declared)].sort() as string[]).toEqual(Object.keys(library).sort());
  expect([functions, client, methods, calls, options, errors]).not.toContain(undefined as never);
});
