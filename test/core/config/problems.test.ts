/** Every kind of mistake in a configuration, with the exact line that an operator reads. */
import { afterAll, describe, expect, test } from "bun:test";
import { roleNames } from "../../../src/roles.ts";
import { ConfigDirectory } from "./helpers.ts";

const directory = new ConfigDirectory();
afterAll(() => directory.remove());

interface Case {
  claim: string;
  text: string;
  lines: string[];
  environment?: Record<string, string>;
  sets?: string[];
  file?: string;
  role?: string;
}

const cases: Case[] = [
  {
    claim: "a value of the wrong type",
    text: '{\n  "respPort": "7000"\n}',
    lines: ['dht.json:2:15: respPort: wanted an integer from 0 to 65535 or null, got "7000"'],
  },
  {
    claim: "a number out of range, as it is written",
    text: '{ "respPort": 7e4 }',
    lines: ["dht.json:1:15: respPort: wanted an integer from 0 to 65535 or null, got 7e4"],
  },
  {
    claim: "a number with a fraction",
    text: '{ "limits": { "connections": 1.5 } }',
    lines: ["dht.json:1:30: limits.connections: wanted an integer from 1 to 1000000, got 1.5"],
  },
  {
    claim: "an integer too large to be exact",
    text: '{ "limits": { "memoryBytesMax": 9007199254740993 } }',
    lines: ["dht.json:1:33: limits.memoryBytesMax: wanted an integer of at least 0, got 9007199254740993"],
  },
  {
    claim: "an unknown key, with the nearest in the same group",
    text: '{ "limits": { "conections": 4 } }',
    lines: [
      'dht.json:1:15: limits.conections: wanted a known key, got "conections" (did you mean "connections"?)',
    ],
  },
  {
    claim: "a known key in the wrong group",
    text: '{ "connections": 4 }',
    lines: [
      'dht.json:1:3: connections: wanted a known key, got "connections" (did you mean "limits.connections"?)',
    ],
  },
  {
    claim: "an unknown key that is near nothing",
    text: '{ "zebra": 4 }',
    lines: ['dht.json:1:3: zebra: wanted a known key, got "zebra"'],
  },
  {
    claim: "a word that is not one of the allowed ones, with the nearest",
    text: '{ "durability": "lgo" }',
    lines: [
      'dht.json:1:17: durability: wanted one of "log", "dump", "memory", got "lgo" (did you mean "log"?)',
    ],
  },
  {
    claim: "a value of another shape",
    text: '{ "hashRange": { "min": "F000000000000000" } }',
    lines: ['dht.json:1:25: hashRange.min: wanted 16 lower-case hex digits, got "F000000000000000"'],
  },
  {
    claim: "two values that contradict each other",
    text: '{ "hashRange": { "min": "f000000000000000", "max": "0000000000000000" } }',
    lines: [
      'dht.json:1:25: hashRange.min: wanted a hash that is not above max (or the empty range ffffffffffffffff to 0000000000000000), got "f000000000000000"',
    ],
  },
  {
    claim: "a group that is not an object",
    text: '{ "limits": [] }',
    lines: ["dht.json:1:13: limits: wanted an object in { }, got []"],
  },
  {
    claim: "a missing key, at the object that should hold it",
    text: '{\n  "tls": { "cert": "c.pem" }\n}',
    lines: ["dht.json:2:10: tls.key: wanted the path of a file, got nothing"],
  },
  {
    claim: "an admin endpoint beyond loopback without token and TLS",
    text: '{ "adminPort": 1, "adminHost": "0.0.0.0" }',
    lines: [
      'dht.json:1:32: adminHost: wanted a loopback address, or adminTokenFile and tls beside it, got "0.0.0.0"',
    ],
  },
  {
    claim: "the same key twice, with the line of the first",
    text: '{\n  "respPort": 1,\n  "respPort": 2\n}',
    lines: ["dht.json:3:3: respPort: wanted each key once, got it again (first on line 2)"],
  },
  {
    claim: "a duplicate beside a wrong value",
    text: '{ "host": "::1", "host": "::1", "respPort": -1 }',
    lines: [
      "dht.json:1:18: host: wanted each key once, got it again (first on line 1)",
      "dht.json:1:45: respPort: wanted an integer from 0 to 65535 or null, got -1",
    ],
  },
  {
    claim: "a __proto__ key at any depth",
    text: '{ "__proto__": { "respPort": 1 }, "limits": { "__proto__": {} } }',
    lines: [
      'dht.json:1:3: __proto__: wanted a known key, got "__proto__", which is never allowed',
      'dht.json:1:47: limits.__proto__: wanted a known key, got "__proto__", which is never allowed',
    ],
  },
  {
    claim: "keys named like members of every object",
    text: '{ "constructor": 1, "toString": 2 }',
    lines: [
      'dht.json:1:3: constructor: wanted a known key, got "constructor"',
      'dht.json:1:21: toString: wanted a known key, got "toString"',
    ],
  },
  {
    claim: "a missing comma",
    text: '{\n  "respPort": 1\n  "host": "::1"\n}',
    lines: ['dht.json:3:3: wanted a comma, got "host"'],
  },
  {
    claim: "a string without end",
    text: '{ "host": "abc',
    lines: ['dht.json:1:11: wanted a closing quote, got "abc'],
  },
  {
    claim: "a word without quotes",
    text: "{ respPort: 1 }",
    lines: ["dht.json:1:3: wanted text in double quotes, a number, true, false or null, got respPort"],
  },
  { claim: "an empty file", text: "", lines: ["dht.json:1:1: wanted a value, got the end of the file"] },
  {
    claim: "a file of comments only",
    text: "// nothing\n",
    lines: ["dht.json:2:1: wanted a value, got the end of the file"],
  },
  {
    claim: "a list instead of an object",
    text: "[1, 2]",
    lines: ["dht.json:1:1: wanted an object in { }, got [1, 2]"],
  },
  {
    claim: "a second value after the object",
    text: "{}\n{}",
    lines: ["dht.json:2:1: wanted the end of the file, got {"],
  },
  {
    claim: "nesting that would exhaust the stack",
    text: `{ "x": ${"[".repeat(100_000)} }`,
    lines: ["dht.json:1:71: wanted at most 64 levels of nesting, got more"],
  },
  {
    claim: "an unknown role, with the nearest",
    text: '{ "role": "dth" }',
    lines: [
      `dht.json:1:11: role: wanted one of ${roleNames.map((name) => `"${name}"`).join(", ")}, got "dth" (did you mean "dht"?)`,
    ],
  },
  {
    claim: "a file of another role than the command line asks for",
    text: '{ "role": "hub" }',
    role: "dht",
    lines: ['dht.json:1:11: role: wanted "dht", got "hub"'],
  },
  {
    claim: "a file named for another role than the command line asks for",
    text: "{}",
    role: "hub",
    lines: ['dht.json:1:1: role: wanted "hub", got "dht", from the file\'s name'],
  },
  {
    claim: "a file whose role nobody names",
    text: "{}",
    file: "settings.json",
    lines: [
      "settings.json:1:1: role: wanted a role, because the file is not named prefix.<role><n>.json or <role>.json, got nothing",
    ],
  },
  {
    claim: "an unknown variable of the role",
    text: "{}",
    environment: { NODE_X_DHT_RSP_PORT: "1", NODE_X_HUB_X: "not asked", HOME: "/" },
    lines: [
      'environment NODE_X_DHT_RSP_PORT: wanted a variable of a known key, got NODE_X_DHT_RSP_PORT (did you mean "NODE_X_DHT_RESP_PORT"?)',
    ],
  },
  {
    claim: "a variable that does not fit its key",
    text: "{}",
    environment: { NODE_X_DHT_LIMITS_CONNECTIONS: "many" },
    lines: [
      'environment NODE_X_DHT_LIMITS_CONNECTIONS: limits.connections: wanted an integer from 1 to 1000000, got "many"',
    ],
  },
  {
    claim: "--set of an unknown key, without an equals sign, and of another role",
    text: "{}",
    sets: ["log.leve=warn", "respPort", "role=hub", "__proto__.x=1", "constructor.prototype.x=1"],
    lines: [
      '--set log.leve=warn: wanted a known key, got "log.leve" (did you mean "log.level"?)',
      '--set respPort: wanted key=value, got "respPort"',
      '--set role=hub: wanted a known key, got "role"',
      '--set __proto__.x=1: wanted a known key, got "__proto__.x"',
      '--set constructor.prototype.x=1: wanted a known key, got "constructor.prototype.x"',
    ],
  },
];

describe("a configuration is refused with place, key, wanted and got:", () => {
  for (const { claim, text, lines, ...options } of cases) {
    test(claim, async () => {
      expect(await directory.problems(text, options)).toEqual(lines);
      expect(({} as Record<string, unknown>).x).toBeUndefined();
    });
  }
});

test("all mistakes of file, environment and --set are listed at once, those of the file from top to bottom", async () => {
  const text =
    '{\n  "respPort": -1,\n  "limits": {\n    "idleTimeoutMs": "1s",\n    "bogus": 1\n  },\n  "durability": 3\n}';
  const lines = await directory.problems(text, {
    environment: { NODE_X_DHT_HOST: "a b" },
    sets: ["adminPort=x"],
  });
  expect(lines).toEqual([
    "dht.json:2:15: respPort: wanted an integer from 0 to 65535 or null, got -1",
    'dht.json:4:22: limits.idleTimeoutMs: wanted an integer from 0 to 86400000, got "1s"',
    'dht.json:5:5: limits.bogus: wanted a known key, got "bogus"',
    'dht.json:7:17: durability: wanted one of "log", "dump", "memory", got 3',
    'environment NODE_X_DHT_HOST: host: wanted a host name or an IP address, got "a b"',
    '--set adminPort=x: adminPort: wanted an integer from 0 to 65535, got "x"',
  ]);
});

test("mistakes before a broken place are still listed, misreadings after it are not", async () => {
  const lines = await directory.problems('{\n  "respPort": -1,\n  "host" "::1",\n  "zebra": 1\n}');
  expect(lines[0]).toBe("dht.json:2:15: respPort: wanted an integer from 0 to 65535 or null, got -1");
  expect(lines[1]).toBe('dht.json:3:10: wanted a colon, got "::1"');
  expect(lines.some((line) => line.includes("zebra"))).toBe(false);
});

test("bytes that are not UTF-8 are refused where they stand", async () => {
  const bytes = new Uint8Array([...Buffer.from('{\n  "host": "'), 0xff, ...Buffer.from('"\n}')]);
  expect(await directory.problems(bytes)).toEqual(["dht.json:2:12: wanted UTF-8 text, got a byte 0xff"]);
});

test("a file over the limit is refused unread", async () => {
  expect(await directory.problems(new Uint8Array(1024 * 1024 + 1))).toEqual([
    "dht.json:1:1: wanted at most 1048576 bytes, got 1048577 bytes",
  ]);
});

test("terminal control sequences in a file do not reach the message", async () => {
  const [line = ""] = await directory.problems('{ "\\u001b[2J": 1 }');
  expect(line).not.toContain("\u001b");
  expect(line).toContain("\\u001b[2J");
});
