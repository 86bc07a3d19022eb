/** `node-x reactive shell` against the model of a frontend: its commands, its words, transactions typed line by line. */
import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { counter, text } from "../../src/reactive/client.ts";
import { wordsOf } from "../../src/reactive/shell/commands.ts";
import { Shell, type ShellOutput } from "../../src/reactive/shell/shell.ts";
import { textOf, visible } from "../../src/reactive/shell/text.ts";
import { cli } from "../cli/helpers.ts";
import { until } from "../core/kernel/harness.ts";
import { ModelCluster } from "./client/model-frontend.ts";

setDefaultTimeout(120_000);

function recorder(): { lines: string[]; output: ShellOutput } {
  const lines: string[] = [];
  return {
    lines,
    output: {
      results(results) {
        for (const result of results)
          lines.push("value" in result ? `${result.key}=${textOf(result.value)}` : "ok");
      },
      listed(entries) {
        for (const { key, value } of entries) lines.push(`${key}=${textOf(value)}`);
      },
      said: (said) => void lines.push(said),
      failed: (message) => void lines.push(`error: ${message}`),
    },
  };
}

async function typed(cluster: ModelCluster, ...input: string[]): Promise<string[]> {
  const { lines, output } = recorder();
  await using client = await cluster.client();
  const shell = new Shell(client, output);
  for (const line of input) if (!(await shell.line(line))) break;
  await shell.end();
  return lines;
}

describe("commands", () => {
  test("every kind of value is written and read", async () => {
    const lines = await typed(
      new ModelCluster(),
      "put motto all or nothing",
      "add n 5",
      "add n -7",
      'append l "two words"',
      "append l x",
      "insert s b",
      "insert s a",
      "insert s c",
      "remove s c",
      'set m "a field" its value',
      "get motto n l s m nothing",
      "delete motto",
      "get motto",
    );
    expect(lines.filter((line) => line !== "ok")).toEqual([
      "motto=all or nothing",
      "n=-2",
      'l=["two words", "x"]',
      's={"a", "b"}',
      'm={"a field": "its value"}',
      "nothing=(nothing)",
      "motto=(nothing)",
    ]);
  });

  test("between begin and commit all is one transaction, which sees its own writes; abort drops it", async () => {
    const cluster = new ModelCluster();
    const lines = await typed(
      cluster,
      ...[
        "begin",
        "put a 1",
        "put b 2",
        "get a",
        "abort",
        "get a",
        "begin",
        "put a 1",
        "put b 2",
        "commit",
        "get a b",
      ],
    );
    expect(lines.map((line) => line.replace(/\d+$/, "N"))).toEqual(
      [
        "begun",
        "ok",
        "ok",
        "a=1",
        "aborted",
        "a=(nothing)",
        "begun",
        "ok",
        "ok",
        "committed at 3",
        "a=1",
        "b=2",
      ].map((line) => line.replace(/\d+$/, "N")),
    );
    expect(cluster.store.commits).toBe(1);
  });

  test("a transaction whose reads have changed is refused and not typed again; the end aborts an open one", async () => {
    const cluster = new ModelCluster();
    await using other = await cluster.client();
    const { lines, output } = recorder();
    await using client = await cluster.client();
    const shell = new Shell(client, output);
    for (const line of ["begin", "get n", "put b 2"]) await shell.line(line);
    await other.execute((transaction) => counter("n").increment(transaction));
    await shell.line("commit");
    expect(lines.at(-1)).toContain("refused");
    expect(shell.failures).toBe(1);
    for (const line of ["begin", "put b 2"]) await shell.line(line);
    await shell.end();
    expect(await other.readOnly((transaction) => text("b").value(transaction))).toBe("");
  });

  test("watch shows every change until unwatch", async () => {
    const cluster = new ModelCluster();
    const { lines, output } = recorder();
    await using client = await cluster.client();
    const shell = new Shell(client, output);
    await shell.line("watch n");
    await until("the watch", () => (cluster.watches === 1 ? true : undefined));
    await shell.line("add n 1");
    await until("the change", () => (lines.includes("n=1") ? true : undefined));
    await shell.line("unwatch");
    await shell.line("add n 1");
    await Bun.sleep(5);
    expect(lines.filter((line) => line !== "ok")).toEqual(["n=(nothing)", "n=1"]);
  });

  test("what is wrong is said, with how it is written, and the next line goes on", async () => {
    const lines = await typed(
      new ModelCluster(),
      ...[
        "gett a",
        "get",
        "put a",
        "add n x",
        'put a "open',
        "commit",
        "# a comment",
        "",
        "get a",
        "quit",
        "get a",
      ],
    );
    expect(lines).toEqual([
      'error: there is no command "gett": `help` lists them',
      "error: the key is missing: get KEY …",
      "error: the text is missing: put KEY TEXT",
      'error: "x" is no whole number: add KEY NUMBER',
      "error: quotes that do not end at column 7",
      "error: no transaction is open: `begin` opens one",
      "a=(nothing)",
    ]);
  });

  test("words are cut at blanks, but for quotes, which are as in JSON", () => {
    expect(wordsOf('  put  "a key"   "line\\nbreak \\"x\\"" "" b ')).toEqual([
      "put",
      "a key",
      'line\nbreak "x"',
      "",
      "b",
    ]);
    expect(() => wordsOf('put "\\q"')).toThrow("JSON");
  });
});

describe("the command line", () => {
  test("says that no frontend can be reached, and what is wrong with a configuration", async () => {
    const alone = await cli(["reactive", "shell", "--frontend", "127.0.0.1:1", "get", "a"]);
    expect(alone.code).toBe(69);
    expect(alone.stderr).toContain("no frontend can be reached");
    const missing = await cli(["reactive", "shell", "-c", "nowhere.frontend0"]);
    expect(missing.code).toBe(78);
    const other = await cli(["reactive", "shell", "-c", "configs/dht.json"]);
    expect(other.stderr).toContain("configures a dht, not a frontend");
  });

  test("--help has examples", async () => {
    const { stdout } = await cli(["reactive", "shell", "--help"]);
    expect(stdout).toContain("node-x reactive shell put greeting hello");
    expect(stdout).toContain("begin");
  });
});

test("what a terminal would obey is shown instead", () => {
  expect(visible("a\tb\nc\u001b[2J\u0000\u009b1mü")).toBe("a\tb\nc\\x1b[2J\\x00\\x9b1mü");
});

test.each(["nonsense:x", "ftp://127.0.0.1:12355", "http://"])(
  "%s is no address of a frontend",
  async (address) => {
    const { code, stderr } = await cli(["reactive", "shell", `--frontend=${address}`, "get", "k"]);
    expect(code).toBe(64);
    expect(stderr).toContain(`"${address}" is no address of a frontend`);
  },
);
