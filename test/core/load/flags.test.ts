import { describe, expect, test } from "bun:test";
import { z } from "zod";
import { NxError } from "../../../src/core/errors.ts";
import {
  defaultFlag,
  flagHelp,
  integerFlag,
  numberFlag,
  parseFlags,
  switchFlag,
  valueFlag,
} from "../../../src/core/load/flags.ts";

const schema = z.object({
  connections: defaultFlag(integerFlag(1, 100), "N", "Connections", "50"),
  valueBytes: defaultFlag(integerFlag(1, 1000), "N", "Size", "64"),
  rate: valueFlag(numberFlag(0.5, 1000), "N", "Rate"),
  verify: switchFlag("Compare"),
});

const parse = (...words: string[]) => parseFlags(schema, words, "node-x bench test");

function refusal(...words: string[]): NxError {
  try {
    parse(...words);
  } catch (error) {
    if (error instanceof NxError) return error;
    throw error;
  }
  throw new Error(`accepted ${words.join(" ")}`);
}

describe("the flags of a load generator", () => {
  test("take their defaults, and values in both spellings", () => {
    expect(parse()).toEqual({ connections: 50, valueBytes: 64, rate: undefined as never, verify: false });
    expect(parse("--value-bytes", "8", "--rate=2.5", "--verify")).toEqual({
      connections: 50,
      valueBytes: 8,
      rate: 2.5,
      verify: true,
    });
  });

  test.each<[string[], string]>([
    [["--conections", "5"], 'unknown option "--conections" (did you mean "--connections"?)'],
    [["--no-verify"], 'unknown option "--no-verify"'],
    [["-c", "5"], 'unknown option "-c"'],
    [["--verify=yes"], '--verify takes no value, got "yes"'],
    [["--connections"], "--connections needs a value"],
    [["--connections", "--verify"], "--connections needs a value"],
    [["--connections", "5", "--connections", "6"], "--connections is given more than once"],
    [["--connections", "0"], '--connections: wanted an integer from 1 to 100, got "0"'],
    [["--connections", "5x"], '--connections: wanted an integer from 1 to 100, got "5x"'],
    [["--connections="], '--connections: wanted an integer from 1 to 100, got ""'],
    [["--connections", "1e1"], '--connections: wanted an integer from 1 to 100, got "1e1"'],
    [["--rate", "0"], '--rate: wanted a number from 0.5 to 1000, got "0"'],
    [["dht"], 'unexpected word "dht"'],
    [["--", "dht"], 'unexpected word "dht"'],
  ])("refuse %j with exit code 64", (words, message) => {
    const error = refusal(...words);
    expect(error.message).toContain(message);
    expect(error.exit).toBe(64);
    expect(error.hint).toContain("node-x bench test --help");
  });

  test("report all impossible values at once", () => {
    expect(refusal("--connections", "0", "--rate", "x").message.split("\n")).toHaveLength(2);
  });

  test("are all in the help, with their defaults", () => {
    const help = flagHelp(schema).join("\n");
    expect(help).toContain("--value-bytes=N");
    expect(help).toContain("(default 64)");
    expect(help).toContain("--verify");
  });
});
