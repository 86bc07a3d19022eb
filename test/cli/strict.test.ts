/**
 * The strict wrapper: every word on the line has exactly one meaning, or the call ends with 64 and a
 * suggestion.
 */
import { roleNames } from "../../src/roles.ts";
import { describe, expect, test } from "bun:test";
import { resolveVerb, runVerb } from "../../src/cli/strict.ts";
import { defineVerb } from "../../src/cli/verb.ts";
import { cli } from "./helpers.ts";

const refused: [claim: string, words: string[], error: string][] = [
  ["an unknown verb, with the nearest", ["chek"], 'unknown verb "chek" (did you mean "check"?)'],
  ["an unknown verb that is near nothing", ["zzzzzz"], 'unknown verb "zzzzzz"'],
  [
    "an unknown sub-verb, with the nearest",
    ["config", "shwo"],
    'unknown verb "shwo" of `config` (did you mean "show"?)',
  ],
  ["a member of every object as a verb", ["constructor"], 'unknown verb "constructor"'],
  [
    "an unknown option, with the nearest",
    ["roles", "--jsn"],
    'unknown option "--jsn" (did you mean "--json"?)',
  ],
  ["an unknown option at the root", ["--hlep"], 'unknown option "--hlep" (did you mean "--help"?)'],
  ["an unknown short option", ["roles", "-x"], 'unknown option "-x"'],
  ["--no- before anything", ["roles", "--no-anything"], 'unknown option "--no-anything"'],
  [
    "--no- before an option that is off",
    ["roles", "--no-json"],
    'unknown option "--no-json" (did you mean "--json"?)',
  ],
  [
    "an option without its value",
    ["check", "a.json", "--set"],
    "--set needs a value (write --set=VALUE if the value starts with a dash)",
  ],
  [
    "an option whose value would be an option",
    ["check", "a.json", "--set", "--help"],
    "--set needs a value (write --set=VALUE if the value starts with a dash)",
  ],
  ["a value for a switch", ["roles", "--json=yes"], '--json takes no value, got "yes"'],
  [
    "a single-valued option twice",
    ["init", "dht", "--prefix", "a", "--prefix", "b"],
    "--prefix is given more than once",
  ],
  ["a switch twice", ["tls", "rotate", "--all", "--all"], "--all is given more than once"],
  ["a surplus word", ["roles", "dht"], 'unexpected word "dht"'],
  ["a surplus word after --", ["roles", "--", "--json"], 'unexpected word "--json"'],
  ["a missing word", ["check"], "FILE is missing"],
  [
    "an unknown role, with the nearest",
    ["config", "schema", "dth"],
    'there is no role "dth" (did you mean "dht"?)',
  ],
  [
    "an unknown key, with the nearest",
    ["config", "explain", "dht.resPort"],
    'role dht has no key "resPort" (did you mean "dht.respPort"?)',
  ],
  [
    "an unknown shell",
    ["completion", "bsh"],
    'unknown shell "bsh" (did you mean "bash"?); wanted one of bash, zsh, fish',
  ],
  [
    "an unknown sample",
    ["init", "clster"],
    `nothing is called "clster" (did you mean "cluster"?); wanted one of ${roleNames.join(", ")}, cluster`,
  ],
  [
    "a word that a verb judges by itself",
    ["presence", "users", "x", "y"],
    'COUNT: wanted a whole number from 1 to 1000000, got "x"',
  ],
  [
    "a file that is not there",
    ["presence", "client", "/nowhere/servers.cfg", "users"],
    "CONFIG: /nowhere/servers.cfg, which does not exist",
  ],
  ["a size of nothing", ["scale", "--hosts", "0"], '--hosts: wanted a number from 1 to 10000, got "0"'],
  ["a load generator that is not there", ["bench", "hub"], "role hub has no load generator"],
  ["health of nothing", ["health"], "give either --config or --socket"],
  ["health of two things", ["health", "--socket", "a", "-c", "b"], "give either --config or --socket"],
  [
    "a time that is none",
    ["health", "--socket", "a", "--wait-ms", "1s"],
    '--wait-ms: wanted a number of milliseconds, got "1s"',
  ],
];

describe("refuses with exit code 64", () => {
  test.each(refused)("%s", async (_, words, error) => {
    const result = await cli(words);
    expect(result.stderr.split("\n")[0]).toBe(`error: ${error}`);
    expect(result).toMatchObject({ code: 64, stdout: "" });
    expect(result.stderr).toContain("hint: ");
    expect(result.stderr).toMatch(/code: NX_(USAGE|ROLE_UNKNOWN)\n$/);
  });
});

/** A verb with every kind of argument that shows what arrived. */
function probe() {
  const seen: Record<string, unknown> = {};
  const verb = defineVerb({
    name: "probe",
    summary: "Shows what arrives",
    args: {
      first: { type: "positional", required: true },
      second: { type: "positional", required: false },
      name: { type: "string", alias: "n" },
      mode: { type: "enum", options: ["fast", "safe"], default: "safe" },
      color: { type: "boolean", default: true },
      verbose: { type: "boolean" },
      "max-size": { type: "string" },
      set: { type: "string" },
    },
    repeatable: ["set"],
    variadic: "WORD",
    examples: [],
    run(call) {
      const { first, second, name, mode, color, verbose } = call.args;
      Object.assign(seen, {
        first,
        second,
        name,
        mode,
        color,
        verbose,
        max: call.args["max-size"],
        set: call.all("set"),
        rest: call.rest,
      });
      return 7;
    },
  });
  const silent = { write: () => {}, isTty: false, columns: undefined };
  const surroundings = { environment: {}, workingDirectory: "/", stdout: silent, stderr: silent };
  const run = async (...words: string[]) => ({
    code: await runVerb(await resolveVerb(verb, words), surroundings),
    ...seen,
  });
  return run;
}

const accepted: [claim: string, words: string[], arrived: Record<string, unknown>][] = [
  [
    "defaults",
    ["a"],
    { first: "a", second: undefined, name: undefined, mode: "safe", color: true, set: [], rest: [] },
  ],
  ["--name VALUE, --name=VALUE and -n VALUE", ["a", "-n", "b"], { name: "b" }],
  ["a value with an equals sign", ["a", "--name=b=c"], { name: "b=c" }],
  ["an empty value", ["a", "--name="], { name: "" }],
  [
    "a value that starts with a dash, after =",
    ["a", "--name=--no-color"],
    { name: "--no-color", color: true },
  ],
  ["a negative number as a value and as a word", ["-1", "--name", "-2.5"], { first: "-1", name: "-2.5" }],
  ["a lone dash as a word", ["-"], { first: "-" }],
  ["--no- of an option that is on", ["a", "--no-color"], { color: false }],
  ["an option with a dash in its name", ["a", "--max-size", "9"], { max: "9" }],
  [
    "all values of a repeatable option, in order",
    ["a", "--set", "x=1", "--set=y=2"],
    { set: ["x=1", "y=2"] },
  ],
  [
    "options before, between and after words",
    ["--verbose", "a", "--mode", "fast", "b"],
    { first: "a", second: "b", mode: "fast", verbose: true },
  ],
  ["words beyond the declared ones", ["a", "b", "c", "d"], { second: "b", rest: ["c", "d"] }],
  [
    "everything after -- as it is",
    ["a", "--", "--bogus", "-n", "--help"],
    { first: "a", name: undefined, rest: ["--bogus", "-n", "--help"] },
  ],
  [
    "names of object members as values",
    ["__proto__", "--name", "constructor"],
    { first: "__proto__", name: "constructor" },
  ],
];

describe("accepts", () => {
  test.each(accepted)("%s", async (_, words, arrived) => {
    expect(await probe()(...words)).toMatchObject({ code: 7, ...arrived });
  });

  test("only the options of an enum, naming the nearest", () => {
    expect(probe()("a", "--mode", "fats")).rejects.toMatchObject({
      message: '--mode: wanted one of fast, safe, got "fats" (did you mean "fast"?)',
    });
  });
});

test("an error with --json is one JSON object on standard error", async () => {
  const { code, stdout, stderr } = await cli(["roles", "--json", "--bogus"]);
  expect({ code, stdout }).toEqual({ code: 64, stdout: "" });
  expect(JSON.parse(stderr)).toEqual({
    error: {
      code: "NX_USAGE",
      message: 'unknown option "--bogus"',
      hint: "`node-x roles --help` shows what is accepted",
    },
  });
});

test("--json after -- asks for nothing", async () => {
  expect((await cli(["roles", "--", "--json"])).stderr).toStartWith("error: ");
});

test("colours appear on a terminal, and not with NO_COLOR, TERM=dumb or on a pipe", async () => {
  const escape = "\u001b[";
  const words = ["chek"];
  expect((await cli(words, { isTty: true })).stderr).toContain(escape);
  expect((await cli(words, { isTty: true, environment: { NO_COLOR: "1" } })).stderr).not.toContain(escape);
  expect((await cli(words, { isTty: true, environment: { TERM: "dumb" } })).stderr).not.toContain(escape);
  expect((await cli(words)).stderr).not.toContain(escape);
});
