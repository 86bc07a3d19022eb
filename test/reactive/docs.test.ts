/** The examples of docs/reactive-client.md are run as they stand, against a store of real processes. */
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { chromium } from "playwright-core";
import { cli } from "../cli/helpers.ts";
import { StoreProcesses } from "../e2e/store-processes.ts";

setDefaultTimeout(60_000);

const ADDRESS = "http://127.0.0.1:12355";
const page = readFileSync(join(import.meta.dir, "../../docs/reactive-client.md"), "utf8");
const directory = mkdtempSync(join(tmpdir(), "node-x-docs-"));
let store: StoreProcesses;
let base: string;

/** Blocks of a language, each with the heading that it stands under. */
function blocks(language: string): { title: string; code: string }[] {
  const found = page.matchAll(new RegExp(`^\`\`\`${language}\n([\\s\\S]*?)^\`\`\``, "gm"));
  return [...found].map(({ index, 1: code = "" }) => ({
    title: [...page.slice(0, index).matchAll(/^#+ (.*)$/gm)].at(-1)?.[1] ?? "",
    code,
  }));
}

beforeAll(async () => {
  store = await StoreProcesses.create({
    ...{ tss: 1, shards: 2, replicas: 1, frontends: 1 },
    frontendConfig: { allowedOrigins: ["*"] },
  });
  await store.startAll();
  base = `http://127.0.0.1:${store.frontendPorts[0]}`;
  writeFileSync(join(directory, "client.js"), await (await fetch(`${base}/client.js`)).text());
});
afterAll(() => {
  store[Symbol.dispose]();
  rmSync(directory, { recursive: true });
});

test.each(blocks("ts").map(({ title, code }) => [title, code] as const))(
  "%s: the example prints what it says",
  async (_title, code) => {
    writeFileSync(join(directory, "example.ts"), code.replaceAll(ADDRESS, base));
    const child = Bun.spawn([process.execPath, "example.ts"], {
      cwd: directory,
      stdout: "pipe",
      stderr: "pipe",
    });
    const [stdout, stderr] = await Promise.all([
      new Response(child.stdout).text(),
      new Response(child.stderr).text(),
    ]);
    const said = [...code.matchAll(/→ (.*)$/gm)].flatMap(([, text = ""]) => text.split(", → "));
    expect(said.length).toBeGreaterThan(0);
    expect({ stdout, stderr }).toEqual({ stdout: said.map((line) => `${line}\n`).join(""), stderr: "" });
    expect(await child.exited).toBe(0);
  },
);

describe.skipIf(Bun.which("chromium") === null)("in a browser", () => {
  test("the page counts its visits, from another origin", async () => {
    const [{ code } = { code: "" }] = blocks("html");
    const html = code.replaceAll(ADDRESS, base);
    const server = Bun.serve({
      ...{ port: 0, hostname: "127.0.0.1" },
      fetch: () => new Response(html, { headers: { "content-type": "text/html" } }),
    });
    const browser = await chromium.launch({
      executablePath: Bun.which("chromium") as string,
      args: ["--no-sandbox", "--disable-gpu"],
    });
    try {
      const [one, other] = [await browser.newPage(), await browser.newPage()];
      await one.goto(`http://127.0.0.1:${server.port}/`);
      await one.locator("#visits", { hasText: /^1$/ }).waitFor();
      await other.goto(`http://127.0.0.1:${server.port}/`);
      for (const tab of [one, other]) await tab.locator("#visits", { hasText: /^2$/ }).waitFor();
    } finally {
      await browser.close();
      await server.stop(true);
    }
  });
});

test("From a terminal: the shell answers what the page says", async () => {
  const [{ code } = { code: "" }] = blocks("console");
  const commands = [...code.matchAll(/^\$ (.*)\n((?:(?!\$ ).*\n)*)/gm)];
  expect(commands).toHaveLength(4);
  for (const [, line = "", answer = ""] of commands) {
    const [, script, words = ""] = /^(?:printf '(.*)' \| )?node-x (.*)$/.exec(line) ?? [];
    const result = await cli(
      [...words.split(" ").slice(0, 2), "--frontend", base, ...words.split(" ").slice(2)],
      {
        ...(script !== undefined && { stdin: [script.replaceAll("\\n", "\n")] }),
      },
    );
    const wanted = answer.replace(/committed at \d+/, "committed at N");
    expect({ line, ...result, stdout: result.stdout.replace(/committed at \d+/, "committed at N") }).toEqual({
      ...{ line, code: 0, stdout: wanted, stderr: "" },
    });
  }
});

test("From a terminal: -c takes the address from a frontend's configuration, with and without its ending", async () => {
  for (const name of ["c.frontend0", "c.frontend0.json"]) {
    const words = ["reactive", "shell", "-c", name, "get", "docs:nothing"];
    expect(await cli(words, { cwd: store.directory })).toEqual({
      code: 0,
      stdout: "(nothing)\n",
      stderr: "",
    });
  }
});

/** Names of what an interface of the library has, without what is for tests. */
function optionsOf(file: string, name: string): string[] {
  const source = readFileSync(join(import.meta.dir, "../../src/reactive", file), "utf8");
  const [, body = ""] = new RegExp(`^export interface ${name} {\n([\\s\\S]*?)^}`, "m").exec(source) ?? [];
  return [...body.matchAll(/^ {2}(\w+)\??[(:]/gm)]
    .map(([, option = ""]) => option)
    .filter((each) => each !== "seams");
}

test.each([
  ["client.ts", "ClientOptions", 8],
  ["client/transactions.ts", "ExecuteOptions", 4],
  ["client/watch.ts", "ReactiveOptions", 3],
])("%s: the page has every option of %s", (file, name, count) => {
  const options = optionsOf(file, name);
  expect(options).toHaveLength(count);
  expect(options.filter((option) => !new RegExp(`\`${option}[\`(]`).test(page))).toEqual([]);
});

test("the library is as large as the page says", async () => {
  const script = await (await fetch(`${base}/client.js`)).bytes();
  const [, whole, compressed] = /one file of (\d+) KB \((\d+) compressed\)/.exec(page) ?? [];
  expect(Math.abs(script.byteLength / 1000 - Number(whole))).toBeLessThan(3);
  expect(Math.abs(Bun.gzipSync(script, { level: 9 }).byteLength / 1000 - Number(compressed))).toBeLessThan(2);
});
