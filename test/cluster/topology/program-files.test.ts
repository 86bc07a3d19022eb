/** Applications that a worker's configuration names: which files go along, where they are on the host, and what is a mistake. */
import { afterEach, beforeEach, expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { noticeText, problemText } from "../../../src/core/config/problem.ts";
import { tryReadCluster } from "../../../src/cluster/topology/read.ts";
import { schemaCatalog } from "../../../src/roles.ts";

let directory: string;

beforeEach(() => {
  directory = join(mkdtempSync(join(tmpdir(), "node-x-programs-")), "files");
});

afterEach(() => rmSync(dirname(directory), { recursive: true }));

async function read(files: Record<string, string>, app: string) {
  write({ "p.worker0.json": JSON.stringify({ host: "10.0.0.1", app }), ...files });
  const sources = { prefix: "p", workingDirectory: directory, environment: {}, catalog: schemaCatalog };
  const { partial, problems, notices } = await tryReadCluster(sources);
  return {
    words: partial.instances[0]?.words,
    files: partial.instances[0]?.files.map(({ name }) => name),
    problems: problems.map(problemText),
    notices: notices.map(noticeText),
  };
}

function write(files: Record<string, string>): void {
  for (const [name, text] of Object.entries(files)) {
    mkdirSync(dirname(join(directory, name)), { recursive: true });
    writeFileSync(join(directory, name), text);
  }
}

test("an application goes along with everything that it imports, each in its place", async () => {
  const program = `
    import { app } from "node-x/stream";
    import { readFile } from "node:fs/promises";
    import { words } from "./lib/words";
    import { rules } from "../shared/rules.js";
    import type { Shape } from "./only-a-type.ts";
    import settings from "./settings.json";
    import note from "./note.txt" with { type: "text" };
    export * from "./lib";
    export default app("a", () => words(rules, settings, note, readFile, {} as Shape));
  `;
  const found = await read(
    {
      "apps/a.ts": program,
      "apps/lib/words.ts": `import "./index.ts"; export const words = () => import("../../late.ts");`,
      "apps/lib/index.ts": "export const index = 1;",
      "shared/rules.ts": "export const rules = 1;",
      "apps/settings.json": "{}",
      "apps/note.txt": "note",
      "late.ts": `import "./apps/a.ts";`,
    },
    "apps/a.ts",
  );
  expect(found.problems).toEqual([]);
  expect(found.files?.toSorted()).toEqual([
    ...["apps/a.ts", "apps/lib/index.ts", "apps/lib/words.ts", "apps/note.txt", "apps/settings.json"],
    ...["late.ts", "p.worker0.json", "shared/rules.ts"],
  ]);
  expect(found.files?.[0]).toBe("p.worker0.json");
  expect(found.words).toEqual([
    ...["worker", "--config", "{configs}/p.worker0.json", "--set", "app={configs}/apps/a.ts"],
  ]);
});

test("a name without an ending is an application that comes along, whatever lies beside the files", async () => {
  const { words, files, notices } = await read({ "word-count": "no program" }, "word-count");
  expect(words).toEqual(["worker", "--config", "{configs}/p.worker0.json"]);
  expect({ files, notices }).toEqual({ files: ["p.worker0.json"], notices: [] });
});

test.each(["/srv/app.ts", "../app.ts", "missing.ts"])(
  "an application at %s is not deployed and said to have to be on the host",
  async (app) => {
    const { words, notices, problems } = await read({ "../app.ts": "" }, app);
    expect(words).not.toContain("--set");
    expect(problems).toEqual([]);
    expect(notices.join()).toContain(`app: ${app} is not beside the prefix's files`);
  },
);

test("a package that an application imports is said to have to be on the host", async () => {
  const { notices, problems } = await read({ "a.ts": `import x from "lodash"; x();` }, "a.ts");
  expect(problems).toEqual([]);
  expect(notices.join()).toContain(`a.ts imports "lodash", which is not deployed`);
});

test.each([
  [`import "./gone.ts";`, `wanted imports that are there, got "./gone.ts" in a.ts`],
  [`import "/etc/hostname";`, `wanted imports beside the prefix's files`],
  [`import "./a b.ts";`, "wanted files whose names are letters, digits"],
  [`import {`, "wanted a program"],
])("a program with %s is refused at the line of its key", async (text, problem) => {
  const { problems } = await read({ "a.ts": text, "a b.ts": "" }, "a.ts");
  expect(problems).toHaveLength(1);
  expect(problems[0]).toStartWith("p.worker0.json:1:26: app: ");
  expect(problems[0]).toContain(problem);
});
