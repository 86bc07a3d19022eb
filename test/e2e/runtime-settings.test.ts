/** Settings of the runtime and of its threads, as processes of the executable have them. */
import { expect, setDefaultTimeout, test } from "bun:test";
import { readdirSync, readFileSync } from "node:fs";
import { release } from "node:os";
import { LoneExecutable, until } from "./executable.ts";
import { freePorts } from "./free-ports.ts";

setDefaultTimeout(120_000);

const environmentOf = (pid: number) => readFileSync(`/proc/${pid}/environ`, "utf8").split("\0");

/** How the kernel schedules a thread; undefined when it has ended or nobody tells. */
function schedulingOf(thread: string): { name: string; policy: string; turnNs: string } | undefined {
  try {
    const text = readFileSync(`/proc/${thread}/sched`, "utf8");
    const figure = (name: string) => new RegExp(`^${name}\\s*:\\s*(\\d+)`, "m").exec(text)?.[1] ?? "";
    const name = readFileSync(`/proc/${thread}/comm`, "utf8").trim();
    return { name, policy: figure("policy"), turnNs: figure("se\\.slice") };
  } catch {
    return undefined;
  }
}

/** Why threads of the runtime cannot be seen to stand back here; empty where they can. */
function whyNoTurns(): string {
  const [major = 0, minor = 0] = release().split(".").map(Number);
  if (major < 6 || (major === 6 && minor < 12)) return "needs Linux 6.12";
  const own = schedulingOf("self");
  if (own !== undefined && own.policy !== "0") return "the tests run in another scheduling class";
  return own === undefined || own.turnNs === "" ? "the kernel does not tell turns" : "";
}

async function startTimestampServer(alone: LoneExecutable, environment: Record<string, string>) {
  const [port] = await freePorts(1);
  await Bun.write(`${alone.directory}/c.tss.config`, `host 127.0.0.1:${port}\n`);
  const words = ["run", "tss", "-c", "c.tss.config", "-i", "0", "--set", "log.console=off"];
  const { pid } = alone.start(words, environment);
  const unix = `${alone.directory}/c.tss.0/admin.sock`;
  const stats = await until("the server to answer", async () => {
    const response = await fetch("http://node/stats", { unix } as RequestInit).catch(() => undefined);
    return response?.json() as Promise<{ pid: number }> | undefined;
  });
  expect(stats.pid).toBe(pid);
  return { pid, words };
}

test("a timestamp server starts itself again with rare collections, under its pid and its own words", async () => {
  using alone = await LoneExecutable.copy();
  const { pid, words } = await startTimestampServer(alone, { BUN_IDLE_GC_SECONDS: "5" });
  expect(environmentOf(pid)).toEqual(
    expect.arrayContaining(["BUN_GC_TIMER_INTERVAL=60000", "BUN_IDLE_GC_SECONDS=5"]),
  );
  const called = readFileSync(`/proc/${pid}/cmdline`, "utf8").split("\0").slice(0, -1);
  expect(called).toEqual([alone.path, ...words]);
});

const LONG_TURN_NS = "100000000";
const noTurns = whyNoTurns();
test.skipIf(noTurns !== "")(
  `the runtime's own threads have long turns, the main thread and those that write files usual ones${noTurns && ` (${noTurns})`}`,
  async () => {
    using alone = await LoneExecutable.copy();
    const { pid } = await startTimestampServer(alone, {});
    const all = await until("the helpers to stand back", () => {
      const now = readdirSync(`/proc/${pid}/task`).flatMap((id) => schedulingOf(`${pid}/task/${id}`) ?? []);
      const helpers = now.filter(({ name }) => ["JITWorker", "HeapHelper", "mi-scavenger"].includes(name));
      const areBack = helpers.every(({ policy, turnNs }) => policy === "3" && turnNs === LONG_TURN_NS);
      return helpers.length > 0 && areBack ? now : undefined;
    });
    const own = all.filter(({ name }) => name === "node-x" || name.startsWith("Bun Pool"));
    expect(own.length).toBeGreaterThan(0);
    for (const { policy, turnNs } of own) expect([policy, turnNs === LONG_TURN_NS]).toEqual(["0", false]);
  },
);
