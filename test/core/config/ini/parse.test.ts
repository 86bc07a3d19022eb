import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { isIni, parseIni } from "../../../../src/core/config/ini/parse.ts";
import { problemText } from "../../../../src/core/config/problem.ts";

const bytes = (text: string) => new TextEncoder().encode(text);
const parse = (...texts: string[]) =>
  parseIni(texts.map((text, index) => ({ file: `${"abc"[index]}.ini`, bytes: bytes(text) })));
const values = (...texts: string[]) =>
  parse(...texts).entries.map(({ section, key, value }) => [section, key, value]);

describe("reads what the originals read", () => {
  test("blanks around keys and values, comments, empty values", () => {
    expect(values("; c\n[A]\n  k =  v w \n# c\n// c\n\n[ B ]\r\nx=\r\nurl = http://a/#b;c\r\n")).toEqual([
      ["A", "k", "v w"],
      ["B", "x", ""],
      ["B", "url", "http://a/#b;c"],
    ]);
  });

  test("continuation lines, past comments", () => {
    expect(values("[A]\nk = one\n  two\n; c\nthree\nl =\nfour")).toEqual([
      ["A", "k", "one\ntwo\nthree"],
      ["A", "l", "four"],
    ]);
  });

  test("only the first = separates", () => {
    expect(values("[A]\nk = a=b")).toEqual([["A", "k", "a=b"]]);
  });

  test("the last of several counts, also over files", () => {
    expect(parse("[A]\nk=1\nk=2").get("A", "k")?.value).toBe("2");
    expect(parse("[A]\nk=1", "[A]\nk=2").get("A", "k")?.value).toBe("2");
  });
});

test("places name file, line and column, also in a second file", () => {
  const { parsed, entries } = parse("[A]\n k = 1", "\n\n[B]\n  l = 2\n");
  expect(entries.map((entry) => parsed.originAt(entry.keyOffset))).toEqual([
    { kind: "file", file: "a.ini", line: 2, column: 2 },
    { kind: "file", file: "b.ini", line: 4, column: 3 },
  ]);
  expect(entries.map((entry) => parsed.originAt(entry.valueOffset).column)).toEqual([6, 7]);
});

test.each([
  ["k = v", "a.ini:1:1: wanted a [Section] above the first key, got k = v"],
  ["[A]\nmore", "a.ini:2:1: wanted key = value, got more"],
  ["[A]\nk=1\n[B]\nmore", "a.ini:4:1: wanted key = value, got more"],
  ["[A]\n = v", "a.ini:2:2: wanted a key before the =, got = v"],
  ["[A", "a.ini:1:1: wanted [Section] on a line of its own, got [A"],
  ["[]", "a.ini:1:1: wanted [Section] on a line of its own, got []"],
])("%p is a mistake with its place", (text, wanted) => {
  expect(parse(text).parsed.problems.map(problemText)).toEqual([wanted]);
});

test("bytes that are no text are a mistake with their place, in whichever file", () => {
  const first = { file: "a.ini", bytes: bytes("[A]\nk=1") };
  const second = { file: "b.ini", bytes: new Uint8Array([0x5b, 0x41, 0x5d, 0x0a, 0xff]) };
  expect(parseIni([first, second]).parsed.problems.map(problemText)).toEqual([
    "b.ini:2:1: wanted UTF-8 text, got a byte 0xff",
  ]);
});

test("never throws, and every value stands where it says", () => {
  const line = fc.oneof(
    fc.constantFrom("[A]", "[B]", "k = 1", " l=2 ", "more", "; c", "", "[", "=", "a = b = c"),
    fc.string(),
  );
  fc.assert(
    fc.property(fc.array(line), (lines) => {
      const { parsed, entries } = parse(lines.join("\n"));
      for (const entry of entries) {
        expect(parsed.text.slice(entry.keyOffset).startsWith(entry.key)).toBe(true);
        const first = entry.value.split("\n")[0] ?? "";
        const written = parsed.text.slice(entry.valueOffset, entry.valueOffset + entry.valueLength);
        if (!entry.value.includes("\n")) expect(written.trim()).toBe(first);
      }
    }),
  );
});

test.each([
  ["x.ini", "", true],
  ["x.json", "[Server]\n", false],
  ["config", "; c\n\n[Server]\nk = v\n", true],
  ["config", "// c\n[LOG.Root]\n", true],
  ["config", '{ "a": [1] }', false],
  ["config", "[1, 2]", false],
  ["config", '["a"]', false],
  ["config", "", false],
])("%s with %p is INI: %p", (file, text, isOne) => {
  expect(isIni(file, bytes(text))).toBe(isOne);
});
