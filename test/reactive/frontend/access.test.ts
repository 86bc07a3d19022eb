/** Principals and tables: who is who, and what each may do to which key. */
import { expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  type Identity,
  parseTokens,
  Principals,
  readPrincipals,
} from "../../../src/reactive/frontend/access/principals.ts";
import { AccessError, type TableConfig, Tables } from "../../../src/reactive/frontend/access/tables.ts";
import { frontendConfig } from "../../../src/reactive/frontend/config.ts";
import { encodeOperations, type Operation, wholePart } from "../../../src/reactive/shard/operations.ts";
import { type Access, Level } from "../../../src/reactive/shard/transaction.ts";

const bytes = (text: string) => new TextEncoder().encode(text);
const [ALICE, BOB] = ["alice-0123456789abcdef", "bob-0123456789abcdef"];

test("a token names its principal; without tokens everybody is one; an unknown one is nobody's", () => {
  const principals = new Principals(parseTokens(`# comment\nalice ${ALICE}\r\n\n bob\t${BOB} \n`, "tokens"));
  expect([ALICE, BOB, "", `${ALICE}x`].map((token) => principals.of(token)?.name)).toEqual([
    "alice",
    "bob",
    undefined,
    undefined,
  ]);
  expect(new Principals(undefined).of("anything")?.name).toBe("");
  // A file without a token lets nobody in.
  expect(new Principals(parseTokens("# nobody yet\n", "tokens")).of("")).toBeUndefined();
  principals.replaceBy(new Principals(new Map([["carol", ALICE]])));
  expect([ALICE, BOB].map((token) => principals.of(token)?.name)).toEqual(["carol", undefined]);
});

test("who came in with a token is known as long as it is that principal's", () => {
  const principals = new Principals(new Map([["alice", ALICE]]));
  const [before, anybody] = [principals.of(ALICE) as Identity, new Principals(undefined).of("") as Identity];
  const known = (tokens: ReadonlyMap<string, string> | undefined) => {
    principals.replaceBy(new Principals(tokens));
    return [before, anybody].map((each) => principals.isKnown(each));
  };
  expect(known(new Map([["alice", ALICE]]))).toEqual([true, false]);
  expect(known(new Map([["alice", BOB]]))).toEqual([false, false]);
  expect(known(new Map([["bob", ALICE]]))).toEqual([false, false]);
  expect(known(new Map())).toEqual([false, false]);
  expect(known(undefined)).toEqual([false, true]);
});

test.each([
  ["alice", 1],
  ["alice short", 1],
  [`alice ${ALICE} more`, 1],
  [`# one\nal/ice ${ALICE}`, 2],
  [`alice ${ALICE}\nalice ${BOB}`, 2],
  [`alice ${ALICE}\nbob ${ALICE}`, 2],
])("a file of tokens with a mistake is refused with its line: %p", (text, line) => {
  expect(() => parseTokens(text, "tokens")).toThrow(new RegExp(`^tokens:${line}: `));
  try {
    parseTokens(text, "tokens");
  } catch (error) {
    expect((error as Error).message).not.toContain(ALICE);
  }
});

test("the one token of all is as long as others, and nobody else's", () => {
  const directory = mkdtempSync(join(tmpdir(), "node-x-tokens-"));
  const fileOf = (name: string, text: string) => {
    const path = join(directory, name);
    writeFileSync(path, text, { mode: 0o600 });
    return path;
  };
  try {
    const clientTokenFile = fileOf("token", `${ALICE}\n`);
    expect(readPrincipals({ clientTokenFile }).of(ALICE)?.name).toBe("client");
    expect(() => readPrincipals({ clientTokenFile: fileOf("short", "fifteen-letters\n") })).toThrow(
      "shorter than 16",
    );
    for (const line of [`client ${BOB}`, `alice ${ALICE}`]) {
      const clientTokensFile = fileOf("tokens", `${line}\n`);
      expect(() => readPrincipals({ clientTokenFile, clientTokensFile })).toThrow("those of clientTokenFile");
    }
  } finally {
    rmSync(directory, { recursive: true });
  }
});

test("of tables with the same prefix one would count: they are refused", () => {
  const problemsOf = (...prefixes: string[]) =>
    frontendConfig
      .safeParse({
        ...{ role: "frontend", instance: "f0", dataDir: "/nowhere" },
        tables: prefixes.map((prefix) => ({ prefix })),
      })
      .error?.issues.map(({ message }) => message);
  expect(problemsOf("a", "b", "")).toBeUndefined();
  expect(problemsOf("a", "b", "a")).toEqual(["tables whose prefixes differ"]);
});

const everybody = { read: ["*"], write: ["*"] };
const tablesOf = (...tables: Partial<TableConfig>[]) =>
  new Tables(tables.map((table) => ({ prefix: "", ...everybody, ...table })));

const codeOf = (work: () => unknown) => {
  try {
    work();
    return undefined;
  } catch (error) {
    expect(error).toBeInstanceOf(AccessError);
    return (error as AccessError).code;
  }
};

const access = (key: string, operation?: Operation): Access => ({
  key: bytes(key),
  reads: operation === undefined ? [{ part: wholePart, version: 1, wasPresent: true }] : [],
  operations: operation === undefined ? new Uint8Array(0) : encodeOperations([operation]),
});
const add: Operation = { kind: "add", amount: 1n };

test("of several tables the longest prefix counts; a key of none is nobody's", () => {
  const tables = tablesOf(
    { prefix: "a", read: ["alice"] },
    { prefix: "a:b", read: ["bob"] },
    { prefix: "ü" },
  );
  const may = (principal: string, key: string) =>
    codeOf(() => tables.checkKeys(principal, "read", [bytes(key)]));
  expect([may("alice", "a"), may("alice", "a:"), may("alice", "a:b"), may("alice", "a:bc")]).toEqual([
    undefined,
    undefined,
    "forbidden",
    "forbidden",
  ]);
  expect([may("bob", "a:b"), may("bob", "a"), may("bob", "ü1"), may("bob", "b")]).toEqual([
    undefined,
    "forbidden",
    undefined,
    "forbidden",
  ]);
  expect(codeOf(() => tablesOf().checkKeys("", "write", [bytes("anything")]))).toBeUndefined();
});

test("a range is readable when every table that it touches is", () => {
  const tables = tablesOf({ prefix: "a" }, { prefix: "a:secret:", read: ["bob"] });
  const may = (principal: string, prefix: string) =>
    codeOf(() => tables.checkRange(principal, bytes(prefix)));
  expect([may("alice", "a:open"), may("alice", "a"), may("bob", "a"), may("bob", "")]).toEqual([
    undefined,
    "forbidden",
    undefined,
    "forbidden",
  ]);
});

test("a transaction runs at the strictest level of its tables and no weaker, with values of their types", () => {
  const tables = tablesOf(
    { prefix: "strict:", level: "strict" },
    { prefix: "loose:", level: "readCommitted", type: "counter" },
    { prefix: "any:" },
  );
  const level = (asked: Level | undefined, ...accesses: Access[]) =>
    tables.checkTransaction("", asked, accesses);
  expect(level(undefined, access("loose:a", add))).toBe(Level.readCommitted);
  expect(level(Level.snapshot, access("loose:a", add))).toBe(Level.snapshot);
  expect(level(undefined, access("loose:a", add), access("strict:a", add))).toBe(Level.strict);
  expect(level(undefined, access("any:a", add))).toBe(Level.strict);
  expect(level(Level.snapshot, access("any:a", add))).toBe(Level.snapshot);
  expect(codeOf(() => level(Level.snapshot, access("strict:a", add)))).toBe("wrongLevel");
  const put: Operation = { kind: "put", value: { type: "bytes", bytes: bytes("x") } };
  expect(codeOf(() => level(undefined, access("loose:a", put)))).toBe("wrongType");
  expect(codeOf(() => level(undefined, access("loose:a", { kind: "delete" })))).toBeUndefined();
});

test("read committed, keys are read of tables that want no more, by who may read them", () => {
  const tables = tablesOf(
    { prefix: "strict:", level: "strict" },
    { prefix: "loose:", level: "readCommitted", read: ["bob"] },
    { prefix: "any:" },
  );
  const read = (principal: string, ...keys: string[]) =>
    codeOf(() => tables.checkCommittedRead(principal, keys.map(bytes)));
  expect([read("bob", "loose:a", "any:a"), read("bob", "any:a", "strict:a"), read("eve", "loose:a")]).toEqual(
    [undefined, "wrongLevel", "forbidden"],
  );
});

test("what a transaction reads, it must be allowed to read", () => {
  const tables = tablesOf({ prefix: "in:", write: ["alice"], read: ["bob"] });
  const commit = (principal: string, each: Access) =>
    codeOf(() => tables.checkTransaction(principal, undefined, [each]));
  expect(commit("alice", access("in:a", add))).toBeUndefined();
  expect(commit("alice", { ...access("in:a", add), reads: access("in:a").reads })).toBe("forbidden");
  expect(commit("bob", access("in:a"))).toBeUndefined();
  expect(commit("bob", access("in:a", add))).toBe("forbidden");
});
