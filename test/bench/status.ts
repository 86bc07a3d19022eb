/**
 * `bun run bench status [INSTANCES]`: how long `node-x status` takes for a cluster of dht nodes (50) on this machine.
 *
 * The time is the operator's: from the call to its end, the agent's start and every instance's admin socket included. The
 * median of nine counts. Writes dist/bench/status.json. Exit code 1 when the floor is not held.
 */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ensureExecutable } from "../../build.ts";
import { NxError } from "../../src/core/errors.ts";
import { executable } from "../e2e/node-process.ts";

const FLOOR_SECONDS = 1;
const ROUNDS = 9;

export async function benchStatus(argv: string[]): Promise<number> {
  const [instances = 50] = argv.map(Number);
  await ensureExecutable();
  const top = mkdtempSync(join(tmpdir(), "nx-bench-"));
  const nodeX = async (...words: string[]): Promise<number> => {
    const startedAtMs = performance.now();
    const env = { HOME: top, PATH: process.env.PATH ?? "", XDG_STATE_HOME: join(top, "state") };
    const child = Bun.spawn([executable, ...words], {
      cwd: top,
      env,
      stdin: "ignore",
      stdout: "ignore",
      stderr: "pipe",
    });
    const stderr = await new Response(child.stderr).text();
    const code = await child.exited;
    if (code !== 0)
      throw new NxError("NX_CHECK_FAILED", `node-x ${words.join(" ")} ended with ${code}: ${stderr}`);
    return (performance.now() - startedAtMs) / 1000;
  };
  try {
    for (let index = 0; index < instances; index++)
      writeFileSync(join(top, `m.dht${index}.json`), JSON.stringify({ port: 0, respPort: 0 }));
    const startSeconds = await nodeX("start", "m");
    const looks: number[] = [];
    for (let round = 0; round < ROUNDS; round++) looks.push(await nodeX("status", "m"));
    const sorted = looks.toSorted((a, b) => a - b);
    const figures = {
      instances,
      startSeconds,
      statusSeconds: sorted[ROUNDS >> 1] ?? 0,
      statusSecondsMax: sorted.at(-1) ?? 0,
    };
    for (const [name, value] of Object.entries(figures))
      console.log(`${name.padEnd(18)} ${value.toFixed(2)}`);
    mkdirSync("dist/bench", { recursive: true });
    writeFileSync("dist/bench/status.json", `${JSON.stringify(figures, null, 2)}\n`);
    const isHeld = figures.statusSeconds <= FLOOR_SECONDS;
    console.log(`floor of ${FLOOR_SECONDS} s ${isHeld ? "held" : "NOT held"}`);
    return isHeld ? 0 : 1;
  } finally {
    await nodeX("kill", "m").catch(() => undefined);
    rmSync(top, { recursive: true, force: true });
  }
}
