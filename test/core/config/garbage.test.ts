/** Whatever bytes a file holds: no crash, no pollution, and each problem has a place inside the file. */
import { expect, test } from "bun:test";
import fc from "fast-check";
import { parseBytes, parseText } from "../../../src/core/config/parse.ts";
import { problemText } from "../../../src/core/config/problem.ts";
import { Origins } from "../../../src/core/config/origin.ts";
import { applySets, type Draft } from "../../../src/core/config/overrides.ts";
import { validate } from "../../../src/core/config/validate.ts";
import { dhtConfig } from "../../../src/channels/dht/config.ts";

function judge(bytes: Uint8Array): void {
  const parsed = parseBytes("dht.json", bytes);
  const draft: Draft = {
    role: "dht",
    schema: dhtConfig,
    value: parsed.value,
    origins: new Origins(),
    problems: parsed.problems,
  };
  const config = validate(dhtConfig, draft, parsed);
  const lines = parsed.text.split("\n");
  for (const problem of draft.problems) {
    expect(problemText(problem)).toMatch(/^(dht\.json:\d+:\d+|default):.* wanted .*, got /s);
    // eslint-disable-next-line no-control-regex
    expect(problemText(problem)).not.toMatch(/[\u0000-\u0008\u000a-\u001f\u007f]/);
    if (problem.origin.kind !== "file") continue;
    expect(problem.origin.line).toBeWithin(1, lines.length + 1);
    expect(problem.origin.column).toBeWithin(1, (lines[problem.origin.line - 1] ?? "").length + 2);
  }
  expect(config === undefined).toBe(draft.problems.length > 0 || config === undefined);
  expect(Object.keys(Object.prototype)).toEqual([]);
}

const hostileKey = fc.constantFrom(
  "__proto__",
  "constructor",
  "prototype",
  "toString",
  "limits",
  "respPort",
  "tls",
  "log",
  "hashRange",
  "min",
  "",
  "a.b",
  "\u0000",
  "\ud800",
);
const { tree } = fc.letrec((tie) => ({
  tree: fc.oneof(
    { maxDepth: 6, withCrossShrink: true },
    fc.constantFrom(
      "null",
      "true",
      "1e999",
      "-0",
      "9007199254740993",
      '""',
      '"\\ud800"',
      '"\\u0000"',
      "[]",
      "{}",
      "// x\n1",
      "NaN",
      "'a'",
    ),
    fc.array(tie("tree"), { maxLength: 4 }).map((items) => `[${items.join(",")}]`),
    fc
      .array(fc.tuple(hostileKey, tie("tree")), { maxLength: 6 })
      .map(
        (entries) =>
          `{${entries.map(([key, value]) => `${JSON.stringify(key)}:${String(value)}`).join(",")}}`,
      ),
  ),
}));

test("random bytes", () => {
  fc.assert(fc.property(fc.uint8Array({ maxLength: 300 }), judge), { numRuns: 2000 });
});

test("random objects with hostile keys and values", () => {
  fc.assert(
    fc.property(tree, (text) => judge(Buffer.from(String(text)))),
    { numRuns: 3000 },
  );
});

test("a valid file with a few bytes changed", () => {
  const valid = Buffer.from(
    '{\n  "respPort": 7000, // port\n  "limits": { "connections": 10 },\n  "hashRange": { "min": "0000000000000000" }\n}\n',
  );
  const edit = fc.record({ at: fc.nat(valid.length - 1), byte: fc.nat(255) });
  fc.assert(
    fc.property(fc.array(edit, { minLength: 1, maxLength: 4 }), (edits) => {
      const bytes = Buffer.from(valid);
      for (const { at, byte } of edits) bytes[at] = byte;
      judge(bytes);
    }),
    { numRuns: 3000 },
  );
});

test("every prefix of a valid file", () => {
  const valid = Buffer.from(
    '{ "limits": { "connections": 10, /* c */ "idleTimeoutMs": 1.5e3 }, "host": "\u00e9\\u00e9" }',
  );
  for (let length = 0; length < valid.length; length++) judge(valid.subarray(0, length));
});

test("a megabyte of one token or of mistakes is judged within seconds", () => {
  const size = 1024 * 1024;
  for (const piece of ["[", "{", "}", ",", '"', "/", '{"a":', '"x" ', '"x":1,', "\n", "\u00e9", "1"])
    judgeQuickly(Buffer.from(piece.repeat(Math.floor(size / Buffer.byteLength(piece)))));
  judgeQuickly(
    Buffer.from(`{${Array.from({ length: 60_000 }, (_, index) => `"key${index}":${index}`).join(",")}}`),
  );
});

function judgeQuickly(bytes: Uint8Array): void {
  const startedMs = performance.now();
  const parsed = parseBytes("dht.json", bytes);
  const draft: Draft = {
    role: "dht",
    schema: dhtConfig,
    value: parsed.value,
    origins: new Origins(),
    problems: parsed.problems,
  };
  validate(dhtConfig, draft, parsed);
  expect(draft.problems.length).toBeGreaterThan(0);
  expect(performance.now() - startedMs).toBeLessThan(20_000);
}

test("random --set texts", () => {
  const set = fc.oneof(
    fc.string({ maxLength: 60 }),
    fc
      .tuple(
        fc.array(hostileKey, { minLength: 1, maxLength: 4 }).map((parts) => parts.join(".")),
        tree,
      )
      .map(([key, value]) => `${key}=${String(value)}`),
  );
  fc.assert(
    fc.property(fc.array(set, { maxLength: 4 }), (sets) => {
      const parsed = parseText("dht.json", "{}");
      const draft: Draft = {
        role: "dht",
        schema: dhtConfig,
        value: parsed.value,
        origins: new Origins(),
        problems: [],
      };
      applySets(draft, sets);
      validate(dhtConfig, draft, parsed);
      expect(Object.keys(Object.prototype)).toEqual([]);
      expect(({} as { limits?: unknown }).limits).toBeUndefined();
    }),
    { numRuns: 2000 },
  );
});
