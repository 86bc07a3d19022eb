/**
 * Tests of the source tree itself: the rules of ARCHITECTURE.md that a machine can check.
 *
 * Each rule is a function from a file to its offences, and each is shown to find one in a sample of its own.
 */
import { describe, expect, test } from "bun:test";
import { existsSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";

interface SourceFile {
  path: string;
  text: string;
}

interface Rule {
  claim: string;
  applies(path: string): boolean;
  /** Offending lines, or what is missing. */
  offences(file: SourceFile): string[];
  /** A file that must be found guilty. */
  sample: SourceFile;
}

const root = join(import.meta.dir, "..");
const isCode = (path: string) => /^(src|native)\/.*\.(ts|tsx|c|h)$/.test(path);
const isTypeScript = (path: string) => /^src\/.*\.tsx?$/.test(path);
/** Runs in a browser, where there is no world of seams. */
const isPage = (path: string) => path.startsWith("src/hub/page/");
const families = ["channels", "reactive", "backup", "presence", "streams", "hub"];

/** Lines outside comments that match. */
function linesMatching({ text }: SourceFile, pattern: RegExp): string[] {
  return text.split("\n").filter((line) => pattern.test(line) && !/^\s*(\/\/|\*|\/\*)/.test(line));
}

const LINES_MAX = 520;

const rules: Rule[] = [
  {
    claim: "only src/native imports bun:ffi, but for types",
    applies: (path) => isTypeScript(path) && !path.startsWith("src/native/"),
    offences: (file) => linesMatching(file, /from "bun:ffi"/).filter((line) => !line.includes("import type")),
    sample: { path: "src/cli/x.ts", text: 'import { ptr } from "bun:ffi";' },
  },
  {
    claim: "no address of a typed array is taken: its memory may move",
    applies: isTypeScript,
    offences: (file) => linesMatching(file, /\bptr\(/),
    sample: { path: "src/native/x.ts", text: "const kept = ptr(new Uint8Array(8));" },
  },
  {
    claim: "time and chance come through the seams",
    applies: (path) => isTypeScript(path) && !path.startsWith("src/core/") && !isPage(path),
    offences: (file) =>
      linesMatching(
        file,
        /\b(Date\.now|performance\.now|Math\.random|setTimeout|setInterval|setImmediate)\(/,
      ),
    sample: { path: "src/channels/x.ts", text: "const now = Date.now();" },
  },
  {
    claim: "files and sockets are opened in core, native and the command line only",
    applies: (path) => isTypeScript(path) && !/^src\/(core|native|cli|main\.ts)/.test(path) && !isPage(path),
    offences: (file) =>
      linesMatching(
        file,
        /from "(node:)?fs(\/promises)?"|\bBun\.(listen|connect|serve|file|write)\(|\bfetch\(/,
      ),
    sample: { path: "src/channels/x.ts", text: 'import { readFileSync } from "node:fs";' },
  },
  {
    claim: "a family does not import another",
    applies: (path) => families.some((family) => path.startsWith(`src/${family}/`)),
    offences: (file) => {
      const own = file.path.split("/")[1];
      const others = families.filter((family) => family !== own).join("|");
      return linesMatching(file, new RegExp(`from "\\.\\./.*/?(${others})/`)).filter(
        (line) => !line.includes("/client"),
      );
    },
    sample: { path: "src/hub/x.ts", text: 'import { dht } from "../channels/dht/role.ts";' },
  },
  {
    claim: "core knows no family and no verb",
    applies: (path) => path.startsWith("src/core/"),
    offences: (file) => linesMatching(file, new RegExp(`from "(\\.\\./)+(${families.join("|")}|cli)/`)),
    sample: { path: "src/core/x.ts", text: 'import { hub } from "../hub/role.ts";' },
  },
  {
    claim: "what is below the command line does not know it, nor the table of roles",
    // The shell tells a configuration of another role from a frontend's, so it has to know them all.
    applies: (path) => /^src\/[^/]+\//.test(path) && !/^src\/(cli\/|reactive\/cli\/reactive\.ts)/.test(path),
    offences: (file) =>
      linesMatching(file, /(from|import\() ?"\.\.?\//).filter((line) => {
        const target = join(dirname(file.path), /"([^"]+)"/.exec(line)?.[1] ?? "");
        return /^src\/(cli\/|main\.ts|roles\.ts|family-)/.test(target);
      }),
    sample: { path: "src/hub/x.ts", text: 'const { roles } = await import("../roles.ts");' },
  },
  {
    claim: "every file opens with what it is",
    applies: isCode,
    offences: (file) => (/^(#!.*\n)?\s*\/\*/.test(file.text) ? [] : ["no opening comment"]),
    sample: { path: "src/core/x.ts", text: "export const x = 1;" },
  },
  {
    claim: `no file has more than ${LINES_MAX} lines`,
    applies: isCode,
    offences: (file) =>
      file.text.split("\n").length > LINES_MAX ? [`${file.text.split("\n").length} lines`] : [],
    sample: { path: "src/core/x.ts", text: "\n".repeat(LINES_MAX + 1) },
  },
  {
    claim: "nothing is left to do in a comment, and no test is switched off",
    applies: (path) => (isCode(path) || path.startsWith("test/")) && path !== "test/tidy.test.ts",
    offences: ({ text }) =>
      text
        .split("\n")
        .filter((line) => /\b(TODO|FIXME|XXX)\b|\b(test|it|describe)\.(todo|only)\b/.test(line)),
    sample: { path: "test/x.test.ts", text: "test.only('x', () => {});" },
  },
  {
    claim: "no type is switched off",
    applies: isTypeScript,
    offences: (file) => linesMatching(file, /@ts-ignore|@ts-nocheck|:\s*any\b|\bas any\b|<any>/),
    sample: { path: "src/core/x.ts", text: "const x = y as any;" },
  },
];

const sources: SourceFile[] = [...new Bun.Glob("{src,native,test}/**/*.{ts,tsx,c,h}").scanSync({ cwd: root })]
  .sort()
  .map((path) => ({ path, text: readFileSync(join(root, path), "utf8") }));

describe.each(rules)("$claim", (rule) => {
  test("holds", () => {
    const found = sources
      .filter(({ path }) => rule.applies(path))
      .flatMap((file) => rule.offences(file).map((offence) => `${file.path}: ${offence.trim()}`));
    expect(found).toEqual([]);
  });

  test("can fail", () => {
    expect(rule.applies(rule.sample.path)).toBe(true);
    expect(rule.offences(rule.sample)).not.toEqual([]);
  });
});

test("no file names a package registry, a machine's paths or the tools of a workshop", () => {
  const tracked = Bun.spawnSync(["git", "ls-files", "-z"], { cwd: root })
    .stdout.toString()
    .split("\0")
    .filter(Boolean);
  const own = "test/tidy.test.ts";
  const words = [
    "registry" + ".npmjs",
    "/work" + "/main",
    "/work" + "/wt",
    "farm" + "-studio",
    "farm" + "-bench",
  ];
  const guilty = tracked
    .filter((path) => path !== own)
    .flatMap((path) => {
      const text = readFileSync(join(root, path), "latin1");
      return words.filter((word) => text.includes(word)).map((word) => `${path}: ${word}`);
    });
  expect(guilty).toEqual([]);
});

/** The folders that the trees of ARCHITECTURE.md's map name: indented lines, each a path below the line that it hangs from. */
function foldersOnMap(page: string): { path: string; line: string }[] {
  const found: { path: string; line: string }[] = [];
  for (const [, tree = ""] of page.slice(page.indexOf("## The map")).matchAll(/```\n(.*?)```/gs)) {
    const above: { indent: number; path: string }[] = [];
    for (const line of tree.split("\n")) {
      const [, indent = "", name] = /^( *)(\S+)\/(?= |$)/.exec(line) ?? [];
      if (name === undefined) continue;
      while ((above.at(-1)?.indent ?? -1) >= indent.length) above.pop();
      const path = `${above.at(-1)?.path ?? ""}${name}/`;
      above.push({ indent: indent.length, path });
      found.push({ path: path.slice(0, -1), line });
    }
  }
  return found;
}

/** What is wrong with the map: folders that it lacks, folders that are not there, lines that are no quick reading. */
function faultsOfMap(page: string, folders: ReadonlySet<string>): string[] {
  const named = foldersOnMap(page);
  const names = new Set(named.map(({ path }) => path));
  return [
    ...[...folders].filter((path) => !names.has(path)).map((path) => `${path} is not on the map`),
    ...[...names].filter((path) => !existsSync(join(root, path))).map((path) => `there is no ${path}`),
    ...named.filter(({ line }) => line.length > 112).map(({ path }) => `the line of ${path} is too long`),
  ];
}

describe("the map in ARCHITECTURE.md names every folder in a short line", () => {
  const page = readFileSync(join(root, "ARCHITECTURE.md"), "utf8");
  const isCorpus = (path: string) => path.startsWith("native/fuzz/corpus/");
  const folders = new Set(
    sources.filter(({ path }) => isCode(path) && !isCorpus(path)).map(({ path }) => dirname(path)),
  );

  test("holds", () => {
    expect(faultsOfMap(page, folders)).toEqual([]);
  });

  test("can fail", () => {
    const tree = `## The map\n\`\`\`\nsrc/core/   what\n  attic/    ${"more ".repeat(30)}\n\`\`\`\n`;
    expect(faultsOfMap(tree, new Set(["src/core", "src/core/seams"]))).toEqual([
      "src/core/seams is not on the map",
      "there is no src/core/attic",
      "the line of src/core/attic is too long",
    ]);
  });
});
