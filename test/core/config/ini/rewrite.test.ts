import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { chmodSync, mkdtempSync, readFileSync, rmSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { rewriteDigits, rewriteDigitsInFile } from "../../../../src/core/config/ini/rewrite.ts";
import { realWorld } from "../../../../src/core/seams/world-real.ts";

const range = { minval: "8000000000000000", maxval: "ffffffffffffffff" };
const rewrite = (text: string, values: Record<string, string> = range) =>
  Buffer.from(rewriteDigits(Buffer.from(text, "latin1"), "x.ini", "Server", values)).toString("latin1");

const file = (min: string, max: string) => `; minval = 1111111111111111 \xe9\r
[Other]
minval = 0x2222222222222222
[Server]
  minval =   0x${min}   \r
# maxval = 3333333333333333
maxval=${max}
[Server.2]
maxval = 4444444444444444
`;

describe("changes only the digits, only inside the section", () => {
  test("with prefix, blanks, comments, other sections and bytes that are no UTF-8", () => {
    expect(rewrite(file("0000000000000000", "7FFFFFFFFFFFFFFF"))).toBe(file(range.minval, range.maxval));
  });

  test("whatever else the section holds", () => {
    const other = fc
      .array(fc.constantFrom("address = 1", "; minval=1", "", "[LOG]", "data_dir = minval", "\t", "// x = y"))
      .map((lines) => lines.map((line) => `${line}\n`).join(""));
    fc.assert(
      fc.property(other, other, other, (before, between, after) => {
        // What stands between must not leave the section.
        const inside = between.replaceAll("[LOG]\n", "");
        const text = (min: string, max: string) =>
          `${before.replaceAll(/^(?![;/[\n]).*\n/gm, "")}[Server]\nminval = ${min}\n${inside}maxval = ${max}\n${after}`;
        expect(rewrite(text("0000000000000000", "0000000000000001"))).toBe(text(range.minval, range.maxval));
      }),
    );
  });

  test("the value that counts, when there are several", () => {
    const text = (last: string) => `[Server]\nminval = 0000000000000000\nminval = ${last}\n`;
    expect(rewrite(text("1111111111111111"), { minval: range.minval })).toBe(text(range.minval));
  });
});

test.each([
  "[Server]\nmaxval = 0000000000000000\n",
  "[Server]\nminval = 123\nmaxval = 0000000000000000\n",
  "[Server]\nmaxval = 0000000000000000\n[Other]\nminval = 0000000000000000\n",
])("%p has no digits to replace: an error, and nothing changes", (text) => {
  expect(() => rewrite(text)).toThrow("x.ini: [Server] minval: wanted 16 hex digits to replace, got ");
});

test("a file keeps its mode, its links and everything but the digits", async () => {
  const directory = mkdtempSync(join(tmpdir(), "node-x-rewrite-"));
  try {
    const [path, link] = [join(directory, "config.ini"), join(directory, "link.ini")];
    writeFileSync(path, file("0000000000000000", "7FFFFFFFFFFFFFFF"), "latin1");
    chmodSync(path, 0o644);
    symlinkSync(path, link);
    const { ino } = statSync(path);
    await rewriteDigitsInFile(realWorld().disk, link, "Server", range);
    expect(readFileSync(path, "latin1")).toBe(file(range.minval, range.maxval));
    expect([statSync(path).ino, statSync(path).mode & 0o777]).toEqual([ino, 0o644]);
  } finally {
    rmSync(directory, { recursive: true });
  }
});
