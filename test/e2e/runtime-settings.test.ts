/** Settings of the runtime and of the kernel, as processes of the executable have them. */
import { expect, setDefaultTimeout, test } from "bun:test";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { release } from "node:os";
import { LoneExecutable, until } from "./executable.ts";
import { freePorts } from "./free-ports.ts";

setDefaultTimeout(120_000);

/** Linux 6.12 and newer give a thread turns of the length that it asks for. */
const [major = 0, minor = 0] = release().split(".").map(Number);
const hasTurns = major > 6 || (major === 6 && minor >= 12);
const turnOf = (thread: string) =>
  /se\.slice\s*:\s*(\d+)/.exec(readFileSync(`/proc/${thread}/sched`, "utf8"))?.[1];

const environmentOf = (pid: number) => readFileSync(`/proc/${pid}/environ`, "utf8").split("\0");

test("a timestamp server starts itself again with rare collections, under its pid and its own words, and its thread stands first", async () => {
  using alone = await LoneExecutable.copy();
  const [port] = await freePorts(1);
  await Bun.write(`${alone.directory}/c.tss.config`, `host 127.0.0.1:${port}\n`);
  const words = ["run", "tss", "-c", "c.tss.config", "-i", "0", "--set", "log.console=off"];
  const { pid } = alone.start(words, { BUN_IDLE_GC_SECONDS: "5" });
  const unix = `${alone.directory}/c.tss.0/admin.sock`;
  const stats = await until("the server to answer", async () => {
    const response = await fetch("http://node/stats", { unix } as RequestInit).catch(() => undefined);
    return response?.json() as Promise<{ pid: number }> | undefined;
  });
  expect(stats.pid).toBe(pid);
  expect(environmentOf(pid)).toEqual(
    expect.arrayContaining(["BUN_GC_TIMER_INTERVAL=60000", "BUN_IDLE_GC_SECONDS=5"]),
  );
  if (hasTurns && existsSync("/proc/self/sched")) {
    const turns = readdirSync(`/proc/${pid}/task`).map((thread) => turnOf(`${pid}/task/${thread}`));
    expect(turnOf(`${pid}`)).toBe("100000");
    expect(turns.filter((turn) => turn === "100000")).toHaveLength(1);
  }
  const called = readFileSync(`/proc/${pid}/cmdline`, "utf8").split("\0").slice(0, -1);
  expect(called).toEqual([alone.path, ...words]);
});
