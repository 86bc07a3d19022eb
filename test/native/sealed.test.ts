import { expect, test } from "bun:test";
import { createHash } from "node:crypto";
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { NxError } from "../../src/core/errors.ts";
import { loadSealed } from "../../src/native/sealed.ts";

const digestOf = (bytes: string) => createHash("sha256").update(bytes).digest("hex");

function inTemporaryFile<Result>(content: string, use: (file: string) => Result): Result {
  const directory = mkdtempSync(join(tmpdir(), "node-x-sealed-"));
  try {
    const file = join(directory, "code");
    writeFileSync(file, content);
    return use(file);
  } finally {
    rmSync(directory, { recursive: true });
  }
}

test("hands the loader a path with exactly the bytes that were checked", () => {
  const seen = inTemporaryFile("machine code", (file) =>
    loadSealed("test", file, digestOf("machine code"), (path) => readFileSync(path, "utf8")),
  );
  expect(seen).toBe("machine code");
});

test("refuses bytes with another digest and never calls the loader", () => {
  let isCalled = false;
  const attempt = () =>
    inTemporaryFile("machine c0de", (file) =>
      loadSealed("test", file, digestOf("machine code"), () => {
        isCalled = true;
      }),
    );
  expect(attempt).toThrow(NxError);
  expect(isCalled).toBe(false);
});

test("the sealed copy cannot be written", () => {
  inTemporaryFile("machine code", (file) =>
    loadSealed("test", file, digestOf("machine code"), (path) => {
      expect(() => writeFileSync(path, "other")).toThrow();
    }),
  );
});

test("falls back to an unnamed file where memfds are refused, and leaves no name behind", () => {
  process.env.NODE_X_TEST_NO_MEMFD = "1";
  try {
    const before = readdirSync("/dev/shm");
    const seen = inTemporaryFile("machine code", (file) =>
      loadSealed("test", file, digestOf("machine code"), (path) => readFileSync(path, "utf8")),
    );
    expect(seen).toBe("machine code");
    expect(readdirSync("/dev/shm")).toEqual(before);
  } finally {
    delete process.env.NODE_X_TEST_NO_MEMFD;
  }
});

test("says every reason when no copy can be loaded", () => {
  const attempt = () =>
    inTemporaryFile("x", (file) =>
      loadSealed("test", file, digestOf("x"), () => {
        throw new Error("failed to map segment");
      }),
    );
  expect(attempt).toThrow(/memfd: failed to map segment; .*\/dev\/shm: failed to map segment/);
});
