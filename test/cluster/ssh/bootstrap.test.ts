/** The boot script by itself, under every POSIX shell that is here: what it says, what it leaves, what it never does. */
import { afterAll, describe, expect, test } from "bun:test";
import { createHash } from "node:crypto";
import {
  appendFileSync,
  chownSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { bootAnswer, bootInput, REMOTE_COMMAND, type BootTask } from "../../../src/cluster/ssh/bootstrap.ts";

const directory = mkdtempSync(join(tmpdir(), "node-x-boot-"));
afterAll(() => rmSync(directory, { recursive: true }));

const shells = [["sh"], ["bash"], ["dash"], ["busybox", "sh"]].filter(
  ([program = ""]) => Bun.which(program) !== null,
);
let count = 0;
const fresh = () => join(directory, `a 'b' $(touch ${directory}/touched) ${count++}`);
const inodeOf = (path: string) => String(statSync(path).ino);
const sha256 = (text: string) => createHash("sha256").update(text).digest("hex");

/** As ssh would have the login shell run it. */
async function boot(shell: string[], root: string, task: BootTask, rest: Uint8Array = new Uint8Array(0)) {
  const child = Bun.spawn([...shell, "-c", REMOTE_COMMAND], {
    stdin: Buffer.concat([bootInput(root, task), rest]),
    stdout: "pipe",
    stderr: "pipe",
  });
  const said = await new Response(child.stdout).text();
  await child.exited;
  return bootAnswer(said);
}

describe.each(shells)("under %s", (...shell) => {
  const words = shell.filter((word): word is string => typeof word === "string");
  const good = '#!/bin/sh\n[ "$1" = selftest ] || echo "agent in $PWD: $*"; [ "$1" = selftest ] || cat\n';

  test("a host without agent says what it is", async () => {
    const root = fresh();
    const answer = await boot(words, root, { task: "agent" });
    expect(answer).toMatchObject({ kind: "missing", system: "Linux", libc: "glibc" });
    expect(existsSync(root)).toBe(false);
  });

  test("an executable takes its name when it is whole and works", async () => {
    const root = fresh();
    const path = join(root, ".node-x/.bin/node-x");
    for (const packing of ["gzip", "plain"] as const) {
      const stream = packing === "gzip" ? Bun.gzipSync(Buffer.from(good)) : Buffer.from(good);
      const task = { task: "install", sha256: sha256(good), packing } as const;
      expect(await boot(words, root, task, stream)).toEqual({ kind: "installed", inode: inodeOf(path) });
    }
    expect(readFileSync(path, "utf8")).toBe(good);
    expect(statSync(path).mode & 0o777).toBe(0o755);
    expect(existsSync(join(directory, "touched"))).toBe(false);
    // What follows the script belongs to the agent, every byte of it.
    const child = Bun.spawn([...words, "-c", REMOTE_COMMAND], {
      stdin: Buffer.concat([bootInput(root, { task: "agent" }), Buffer.from("for the agent\n")]),
      stdout: "pipe",
    });
    expect(await new Response(child.stdout).text()).toEndWith(": agent --stdio\nfor the agent\n");
  });

  test.each([
    ["arrives damaged", good, "0".repeat(64), "damaged"],
    ["does not pass its self-test", "#!/bin/sh\necho no AVX2; exit 3\n", undefined, "unfit"],
  ])("one that %s leaves nothing", async (_, program, digest, kind) => {
    const root = fresh();
    const task = { task: "install", sha256: digest ?? sha256(program), packing: "gzip" } as const;
    expect(await boot(words, root, task, Bun.gzipSync(Buffer.from(program)))).toMatchObject({ kind });
    expect(readdirSync(join(root, ".node-x/.bin"))).toEqual([]);
  });

  test("a copy that is on the machine is linked when it is ours, copied when it is another user's", async () => {
    const copy = join(directory, `copy ${count++}`);
    writeFileSync(copy, good, { mode: 0o755 });
    expect(await adopt(copy)).toEqual(["installed", 2]);
    symlinkSync(copy, `${copy} link`);
    expect(await adopt(`${copy} link`)).toEqual(["installed", 1]);
    if (process.getuid?.() === 0) {
      chownSync(copy, 12_345, 12_345);
      expect(await adopt(copy)).toEqual(["installed", 1]);
    }
    appendFileSync(copy, "# changed\n");
    expect(await adopt(copy)).toEqual(["damaged", 0]);
    expect(await adopt(`${copy} elsewhere`)).toEqual(["absent", 0]);
  });

  test("only the very file that was just installed on the machine is linked without being checked and tried again", async () => {
    const copy = join(directory, `copy ${count++}`);
    writeFileSync(copy, "#!/bin/sh\nexit 3 # no check would let it pass\n", { mode: 0o755 });
    expect(await adopt(copy, inodeOf(copy))).toEqual(["installed", 2]);
    writeFileSync(`${copy} same words`, readFileSync(copy), { mode: 0o755 });
    for (const inode of [inodeOf(copy), "", "0"])
      expect(await adopt(`${copy} same words`, inode)).toEqual(["damaged", 0]);
    symlinkSync(copy, `${copy} link`);
    expect(await adopt(`${copy} link`, inodeOf(copy))).toEqual(["damaged", 0]);
  });

  /** What is said, and how many names the file has then. */
  async function adopt(from: string, inode = "0") {
    const root = fresh();
    const answer = await boot(words, root, { task: "adopt", sha256: sha256(good), from, inode });
    const path = join(root, ".node-x/.bin/node-x");
    return [answer?.kind, existsSync(path) ? statSync(path).nlink : 0];
  }

  test("a stream that is cut leaves nothing, and what was there stays", async () => {
    const root = fresh();
    mkdirSync(root, { recursive: true });
    const gzip = Bun.gzipSync(Buffer.from(good.repeat(1000)));
    const task = { task: "install", sha256: sha256(good.repeat(1000)), packing: "gzip" } as const;
    const answer = await boot(words, root, task, gzip.subarray(0, gzip.byteLength / 2));
    expect(answer?.kind === "failed" || answer?.kind === "damaged").toBe(true);
    const plain = { ...task, packing: "plain" } as const;
    expect(await boot(words, root, plain, Buffer.from(good))).toEqual({ kind: "damaged" });
    expect(readdirSync(join(root, ".node-x/.bin"))).toEqual([]);
  });
});
