/** build.ts on hosts that miss something, and `bun run up` in a fresh clone. */
import { afterAll, describe, expect, test } from "bun:test";
import {
  chmodSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { until } from "./executable.ts";

const root = join(import.meta.dir, "../..");
const scratch = mkdtempSync(join(tmpdir(), "node-x-build-"));
afterAll(() => rmSync(scratch, { recursive: true }));

let count = 0;

/** A PATH that holds these programs and nothing else. */
function pathOf(programs: Record<string, string>): string {
  const directory = join(scratch, `bin${++count}`);
  mkdirSync(directory);
  for (const [name, target] of Object.entries(programs)) symlinkSync(target, join(directory, name));
  return directory;
}

const tools = (...names: string[]) => Object.fromEntries(names.map((name) => [name, Bun.which(name) ?? ""]));

/** Nothing is installed: without apt-get in PATH the build cannot, whoever runs it. */
function build(path: string) {
  const { exitCode, stdout, stderr } = Bun.spawnSync([process.execPath, "build.ts", "--native"], {
    cwd: root,
    env: { PATH: path, HOME: scratch },
  });
  return { code: exitCode, stdout: stdout.toString(), stderr: stderr.toString() };
}

describe("build.ts says in one sentence what to install", () => {
  test("when there is no compiler", () => {
    expect(build(pathOf(tools("make", "python3")))).toEqual({
      code: 1,
      stdout: "",
      stderr:
        "error: `cc`, `c++` not found: install build-essential (Debian: apt-get install build-essential)\n",
    });
  });

  test("when several things are missing", () => {
    expect(build(pathOf({})).stderr).toBe(
      "error: `cc`, `c++`, `make`, `python3` not found: " +
        "install build-essential python3 (Debian: apt-get install build-essential python3)\n",
    );
  });

  test("when the C library's headers are missing", () => {
    // The real compiler, told to forget where the system's headers are.
    const cc = join(scratch, "cc-without-headers");
    writeFileSync(cc, `#!/bin/sh\nexec ${Bun.which("cc")} -nostdinc "$@"\n`);
    chmodSync(cc, 0o755);
    expect(build(pathOf({ ...tools("c++", "make", "python3"), cc }))).toEqual({
      code: 1,
      stdout: "",
      stderr:
        "error: the C library's headers are missing: install libc6-dev (Debian: apt-get install libc6-dev)\n",
    });
  });

  test("and nothing when all is there", () => {
    const path = `${pathOf(tools("cc", "c++", "make", "python3"))}:${process.env.PATH}`;
    expect(build(path)).toMatchObject({ code: 0 });
  });
});

test("`bun run up` in a fresh clone builds, starts the cluster and says where to look", async () => {
  const clone = join(scratch, "clone");
  const cloned = Bun.spawnSync(["git", "clone", "--quiet", "--no-hardlinks", root, clone]);
  expect({ code: cloned.exitCode, stderr: cloned.stderr.toString() }).toMatchObject({ code: 0 });
  // Packages are those of this checkout: a test needs no network.
  symlinkSync(join(root, "node_modules"), join(clone, "node_modules"));
  // So are the objects of C files that are the same: a clone that compiles all of them is what this run began with.
  cpSync(join(root, "dist/native/objects"), join(clone, "dist/native/objects"), { recursive: true });
  // The ports of the sample may be taken on the machine that runs this test.
  mkdirSync(join(clone, "own"));
  const write = (name: string, config: object) =>
    writeFileSync(join(clone, "own", name), JSON.stringify(config));
  write("try.dht0.json", { dataDir: "own/data/dht0", respPort: 0 });
  write("try.hub0.json", { dataDir: "own/data/hub0", port: 0, instances: ["own/data/dht0"] });
  const child = Bun.spawn([process.execPath, "run", "up", "own/try"], {
    cwd: clone,
    stdin: "ignore",
    stdout: "pipe",
    stderr: "pipe",
  });
  try {
    const stderr = new Response(child.stderr).text();
    let shown = "";
    const decoder = new TextDecoder();
    for await (const chunk of child.stdout) {
      shown += decoder.decode(chunk, { stream: true });
      if (shown.includes("Ctrl-C stops")) break;
    }
    if (!shown.includes("Ctrl-C stops")) throw new Error(`ended without being ready: ${await stderr}`);
    expect(shown).toContain("2 instances are ready");
    const port = /redis-cli -h 127\.0\.0\.1 -p (\d+)/.exec(shown)?.[1];
    const client = new Bun.RedisClient(`redis://127.0.0.1:${port}`);
    await client.set("greeting", "hello");
    expect(await client.get("greeting")).toBe("hello");
    client.close();
  } finally {
    child.kill("SIGTERM");
  }
  await child.exited;
  await until("the instances to be gone", () =>
    existsSync(join(clone, "own/data/dht0/lock")) ? undefined : true,
  );
}, 300_000);
