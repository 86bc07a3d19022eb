/** Settings of the runtime, as processes of the executable have them. */
import { expect, setDefaultTimeout, test } from "bun:test";
import { readFileSync } from "node:fs";
import { LoneExecutable, until } from "./executable.ts";
import { freePorts } from "./free-ports.ts";

setDefaultTimeout(120_000);

const environmentOf = (pid: number) => readFileSync(`/proc/${pid}/environ`, "utf8").split("\0");

test("a timestamp server starts itself again with rare collections, under its pid and its own words", async () => {
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
  const called = readFileSync(`/proc/${pid}/cmdline`, "utf8").split("\0").slice(0, -1);
  expect(called).toEqual([alone.path, ...words]);
});
