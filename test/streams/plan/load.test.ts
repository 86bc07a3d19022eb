/** What counts as the text of an application: its file, and what that imports by paths. */
import { afterAll, expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { loadApp } from "../../../src/streams/plan/load.ts";
import { planOf } from "../../../src/streams/plan/plan.ts";

const root = mkdtempSync(join(tmpdir(), "node-x-load-"));
afterAll(() => rmSync(root, { recursive: true, force: true }));

const main = `
import { app, framed } from "node-x/stream";
import { shout } from "./lib/shout";
export default app("shout", (a) => {
  a.source("In", { framing: framed(), decode: (frame) => shout(frame.text(0)) })
    .to(a.sink("Out", { framing: framed(), encode: (text, out) => out.utf8(text) }));
});
`;
const lib = "import { mark } from './mark.ts';\nexport const shout = (word) => word + mark;\n";

/** The hash that a worker shows which runs these files, in a directory of their own. */
async function hashOf(name: string, files: Record<string, string>): Promise<string> {
  for (const [path, text] of Object.entries(files)) {
    mkdirSync(dirname(join(root, name, path)), { recursive: true });
    writeFileSync(join(root, name, path), text);
  }
  const { app, text } = await loadApp("app.ts", join(root, name), async (path) => readFileSync(path, "utf8"));
  return planOf(app, { text }).hash;
}

test("an application is another one when a file differs that it imports, directly or not, wherever it lies", async () => {
  const files = { "app.ts": main, "lib/shout.ts": lib, "lib/mark.ts": "export const mark = '!';\n" };
  const hash = await hashOf("one", files);
  expect(await hashOf("same", { ...files, "lib/unused.ts": "export {};\n" })).toBe(hash);
  expect(await hashOf("other", { ...files, "lib/mark.ts": "export const mark = '?';\n" })).not.toBe(hash);
});

test.each([
  ["text.ts", "export default {\n  app: ,\n};\n", "cannot be loaded: Unexpected , (FILE:2:8)"],
  ["throws.ts", "\nthrow new Error('too early');\n", "cannot be loaded: too early (FILE:2:"],
  [
    "typo.ts",
    main.replace("a.source", "a.sorce").replace(/import .*shout.*\n/, ""),
    "a.sorce is not a function",
  ],
])("what is wrong with the file %s is said with the place in it", async (name, text, wanted) => {
  const file = join(root, name);
  writeFileSync(file, text);
  const loading = loadApp(file, root, async (path) => readFileSync(path, "utf8")).then(({ app }) =>
    planOf(app),
  );
  const { message } = await loading.then(
    () => new Error("it was loaded"),
    (error: Error) => error,
  );
  expect(message).toContain(wanted.replace("FILE", file));
  expect(message).toContain(`(${file}:`);
});
