/** S1: the document of the original, word for word, and a game on what it starts; S4: many games at once. Real processes. */
import { afterAll, expect, setDefaultTimeout, test } from "bun:test";
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ensureExecutable } from "../../build.ts";
import { until } from "./executable.ts";
import { executable } from "./node-process.ts";
import { freePorts } from "./free-ports.ts";
import { manyGamesAt } from "./many-games.ts";

setDefaultTimeout(180_000);

const top = mkdtempSync(join(tmpdir(), "nx-s1-"));
const host = join(top, "host");
const prefix = join(top, "platform/test/myconfig");

/** Progress goes to standard error. */
async function nodeX(...words: string[]): Promise<{ code: number; output: string }> {
  const child = Bun.spawn([executable, ...words], {
    cwd: top,
    env: {
      HOME: top,
      PATH: process.env.PATH ?? "",
      XDG_STATE_HOME: join(top, "state"),
      DIAMOND_WORKING_DIR: host,
      DIAMOND_SRC_DIR: join(import.meta.dir, "../.."),
    },
    stdin: "ignore",
    stdout: "pipe",
    stderr: "ignore",
  });
  const output = await new Response(child.stdout).text();
  return { code: await child.exited, output };
}

afterAll(async () => {
  if (existsSync(`${prefix}.tss.config`)) await nodeX("kill", prefix);
  rmSync(top, { recursive: true, force: true });
});

const isOpen = (port: number) =>
  new Promise<boolean>((resolve) => {
    const socket = connect(port, "127.0.0.1");
    socket.once("connect", () => {
      socket.destroy();
      resolve(true);
    });
    socket.once("error", () => resolve(false));
  });

test("S1, S4: start, two shards of three and two frontends; games on both; kill leaves no process and no port", async () => {
  await ensureExecutable();
  const ports = await freePorts(11);
  mkdirSync(host);
  mkdirSync(join(top, "platform/test"), { recursive: true });
  const file = (name: string, from: number, count: number) =>
    writeFileSync(
      `${prefix}${name}.config`,
      ports
        .slice(from, from + count)
        .map((port) => `host localhost:${port}\n`)
        .join(""),
    );
  file(".tss", 0, 3);
  file("0", 3, 3);
  file("1", 6, 3);
  file(".frontend0", 9, 1);
  file(".frontend1", 10, 1);

  const started = await nodeX("start", prefix);
  expect([started.code, started.output]).toEqual([0, "11 instances started\n"]);
  expect(await Promise.all(ports.map(isOpen))).toEqual(ports.map(() => true));
  const logs = ["frontend.0", "frontend.1", "tss.0", "tss.1", "tss.2"].concat(
    [0, 1].flatMap((shard) => [0, 1, 2].map((replica) => `backend.${shard}.${replica}`)),
  );
  expect(logs.filter((name) => !existsSync(join(host, `output.${name}.txt`)))).toEqual([]);

  const frontends = ports.slice(9).map((port) => `http://127.0.0.1:${port}`);
  expect(await manyGamesAt(frontends, 4)).toEqual([]);

  const isRunning = () => Bun.spawnSync(["pgrep", "-f", top]).stdout.byteLength > 0;
  // Control: what must be gone behind the kill is found before it.
  expect([isRunning(), ...(await Promise.all(ports.map(isOpen)))]).toEqual([true, ...ports.map(() => true)]);
  const killed = await nodeX("kill", prefix);
  expect([killed.code, killed.output.startsWith("killed ")]).toEqual([0, true]);
  expect(await Promise.all(ports.map(isOpen))).toEqual(ports.map(() => false));
  // Whoever kept them running ends by itself when there is nothing to keep.
  await until("the supervisor to end", () => !isRunning() || undefined);
});
