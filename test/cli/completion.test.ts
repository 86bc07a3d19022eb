/**
 * Completion scripts, run by the shells themselves: they complete, and they never evaluate what was typed.
 *
 * Each hostile word would create a file if it were evaluated. A mutant of the bash script that does evaluate
 * shows that the test would notice.
 */
import { afterAll, beforeEach, describe, expect, test } from "bun:test";
import { existsSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { roleNames } from "../../src/roles.ts";
import { cli, temporaryDirectory } from "./helpers.ts";

const directory = temporaryDirectory();
afterAll(() => directory.remove());
const canary = join(directory.path, "F");
beforeEach(() => rmSync(canary, { force: true }));
writeFileSync(join(directory.path, "a file.json"), "");

const hostile = [
  "$(touch F)",
  "`touch F`",
  "';touch F;'",
  '"$(touch F)"',
  "$(touch${IFS}F)",
  ";touch F",
  "a[$(touch F)]",
  "(touch F)",
  "<(touch F)",
  "%(touch F)",
];

async function script(shell: string): Promise<string> {
  const path = join(directory.path, `completion.${shell}`);
  writeFileSync(path, (await cli(["completion", shell])).stdout);
  return path;
}

function run(command: string[]): string[] {
  const { stdout, stderr, exitCode } = Bun.spawnSync(command, {
    cwd: directory.path,
    env: { ...process.env, HOME: directory.path },
  });
  expect({ stderr: stderr.toString(), exitCode }).toEqual({ stderr: "", exitCode: 0 });
  return stdout
    .toString()
    .split("\n")
    .filter((line) => line !== "");
}

/** Calls the completion function as bash does: the words typed, the cursor at the end of the last. */
function completeInBash(path: string, words: string[]): string[] {
  const driver =
    'source "$1"; shift; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); COMPREPLY=(); _node_x; printf "%s\\n" "${COMPREPLY[@]}"';
  return run(["bash", "--norc", "-c", driver, "bash", path, ...words]);
}

describe.skipIf(Bun.which("bash") === null)("bash", () => {
  const cases: [typed: string[], offered: string[]][] = [
    [["node-x", "comp"], ["completion"]],
    [
      ["node-x", "config", ""],
      ["show", "explain", "schema"],
    ],
    [["node-x", "config", "show", "--o"], ["--origin"]],
    [["node-x", "config", "schema", ""], [...roleNames]],
    [["node-x", "init", "c"], ["cluster"]],
    [
      ["node-x", "completion", ""],
      ["bash", "zsh", "fish"],
    ],
    [["node-x", "check", "a"], ["a file.json"]],
    [["node-x", "health", "--config", "a"], ["a file.json"]],
    [["node-x", "zzz"], []],
  ];
  test.each(cases)("%p offers %p", async (typed, offered) => {
    expect(completeInBash(await script("bash"), typed)).toEqual(offered);
  });

  test("evaluates nothing that was typed, wherever it stands", async () => {
    const path = await script("bash");
    for (const word of hostile) {
      for (const typed of [
        ["node-x", word],
        ["node-x", word, ""],
        ["node-x", "check", word],
        ["node-x", "config", "show", word, "--"],
        [word, "config", ""],
        ["node-x", "health", "--config", word],
      ]) {
        completeInBash(path, typed);
        expect({ typed, isEvaluated: existsSync(canary) }).toEqual({ typed, isEvaluated: false });
      }
    }
  });

  test("negative control: a script that evaluates the word is noticed", async () => {
    const path = join(directory.path, "mutant.bash");
    writeFileSync(
      path,
      (await cli(["completion", "bash"])).stdout.replace(
        "  COMPREPLY=()\n",
        '  COMPREPLY=()\n  eval "local word=$current"\n',
      ),
    );
    completeInBash(path, ["node-x", "$(touch F)"]);
    expect(existsSync(canary)).toBe(true);
  });
});

describe.skipIf(Bun.which("zsh") === null)("zsh", () => {
  /** The completion system's own functions print what they are given. */
  const driver = `
    compdef() { }
    _describe() { while [[ "$1" == -* ]]; do shift; done; print -rl -- "\${(@P)2}" }
    compadd() { shift; print -rl -- "$@" }
    _files() { print -r -- FILES }
    source "$1"; shift
    words=("$@"); CURRENT=$#
    _node_x`;
  const complete = (path: string, words: string[]) =>
    run(["zsh", "-f", "-c", driver, "zsh", path, ...words]).map((line) => line.replace(/:.*/, ""));

  test("offers verbs, sub-verbs, options and files", async () => {
    const path = await script("zsh");
    expect(complete(path, ["node-x", "comp"])).toContain("completion");
    expect(complete(path, ["node-x", "config", ""])).toEqual(["show", "explain", "schema"]);
    expect(complete(path, ["node-x", "config", "show", "--"])).toContain("--origin");
    expect(complete(path, ["node-x", "check", ""])).toEqual(["FILES"]);
    expect(complete(path, ["node-x", "health", "--config", ""])).toEqual(["FILES"]);
  });

  test("evaluates nothing that was typed", async () => {
    const path = await script("zsh");
    for (const word of hostile) {
      for (const typed of [
        ["node-x", word],
        ["node-x", word, ""],
        ["node-x", "config", "show", word, "--"],
        ["node-x", "health", "--config", word],
      ]) {
        complete(path, typed);
        expect({ typed, isEvaluated: existsSync(canary) }).toEqual({ typed, isEvaluated: false });
      }
    }
  });
});

describe.skipIf(Bun.which("fish") === null)("fish", () => {
  /** fish completes a line itself. */
  const complete = (path: string, line: string) =>
    run(["fish", "--no-config", "-c", 'source $argv[1]; complete -C "$argv[2]"', path, line]).map((word) =>
      word.replace(/\t.*/, ""),
    );

  test("offers verbs, sub-verbs, options and files", async () => {
    const path = await script("fish");
    expect(complete(path, "node-x comp")).toEqual(["completion"]);
    expect(complete(path, "node-x config ").sort()).toEqual(["explain", "schema", "show"]);
    expect(complete(path, "node-x config show --or")).toEqual(["--origin"]);
    expect(complete(path, "node-x check a")).toEqual(["a file.json"]);
  });

  test("evaluates nothing that was typed", async () => {
    const path = await script("fish");
    for (const word of hostile.filter(
      (word) => !word.includes("'") && !word.includes('"') && !word.includes("`"),
    )) {
      for (const line of [`node-x ${word}`, `node-x ${word} `, `node-x config show ${word} --`]) {
        Bun.spawnSync(["fish", "--no-config", "-c", 'source $argv[1]; complete -C "$argv[2]"', path, line], {
          cwd: directory.path,
        });
        expect({ line, isEvaluated: existsSync(canary) }).toEqual({ line, isEvaluated: false });
      }
    }
  });
});

test.each(["bash", "zsh", "fish"])(
  "the %s script is accepted by the shell's own syntax check",
  async (shell) => {
    const path = await script(shell);
    if (Bun.which(shell) !== null) run([shell, "-n", path]);
  },
);

test("the manual page is clean by mandoc's lint and names every verb and error code", async () => {
  const page = (await cli(["man"])).stdout;
  const { errorKinds } = await import("../../src/core/errors.ts");
  for (const code of Object.keys(errorKinds)) expect(page).toContain(`.It ${code}\n`);
  expect(page).toContain(".Ss config show\n");
  if (Bun.which("mandoc") === null) return;
  writeFileSync(join(directory.path, "node-x.1"), page);
  expect(run(["mandoc", "-T", "lint", "-W", "warning", "node-x.1"])).toEqual([]);
  expect(run(["mandoc", "-T", "ascii", "node-x.1"]).length).toBeGreaterThan(100);
});
