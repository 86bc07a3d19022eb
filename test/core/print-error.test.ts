/** How an error of several lines is shown to people. */
import { expect, test } from "bun:test";
import { NxError, type ErrorCode } from "../../src/core/errors.ts";
import { printError } from "../../src/core/print.ts";

function shown(code: ErrorCode, message: string): string {
  let text = "";
  const output = { isTty: false, columns: undefined, write: (part: string) => void (text += part) };
  const surroundings = { environment: {}, workingDirectory: "/", stdout: output, stderr: output };
  printError(surroundings as never, new NxError(code, message), false);
  return text;
}

test("lines of a configuration are counted mistakes, those of another error are what explains it", () => {
  expect(shown("NX_CONFIG_INVALID", "a.json:1:1: x\na.json:2:1: y")).toBe(
    "error: 2 mistakes\n  a.json:1:1: x\n  a.json:2:1: y\ncode: NX_CONFIG_INVALID\n",
  );
  expect(shown("NX_ROLLOUT_FAILED", "dht0 did not start\nits last line")).toBe(
    "error: dht0 did not start\n  its last line\ncode: NX_ROLLOUT_FAILED\n",
  );
});
