/** The supervisor and its children: real processes, small shell programs. */
import { afterAll, afterEach, describe, expect, test } from "bun:test";
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { realClock } from "../../src/core/seams/clock.ts";
import { Supervisor, type Ended } from "../../src/cluster/supervisor.ts";
import { until } from "../core/kernel/harness.ts";

const directory = mkdtempSync(join(tmpdir(), "node-x-supervisor-"));
const supervisors: Supervisor[] = [];
afterEach(() => supervisors.splice(0).forEach((supervisor) => supervisor.kill()));
afterAll(() => rmSync(directory, { recursive: true, force: true }));

function supervise(programs: Record<string, string>, onEnded: (ended: Ended) => boolean = () => false) {
  const lines: string[] = [];
  const ended: Ended[] = [];
  const supervisor = new Supervisor({
    clock: realClock,
    workingDirectory: directory,
    environment: { PATH: process.env.PATH },
    onLine: (name, line) => lines.push(`${name}: ${line}`),
    onEnded: (event) => {
      ended.push(event);
      return onEnded(event);
    },
  });
  supervisors.push(supervisor);
  for (const [name, script] of Object.entries(programs))
    supervisor.start({ name, command: ["sh", "-c", script] });
  return { supervisor, lines, ended };
}

describe("the supervisor", () => {
  test("passes on every line, whole, the last one too", async () => {
    const { lines, ended } = supervise({ a: "echo one; printf 'tw'; printf 'o\\nthree' >&2; echo" });
    await until("the end", () => (ended.length > 0 ? true : undefined));
    expect(lines.toSorted()).toEqual(["a: o", "a: one", "a: three", "a: tw"].toSorted());
  });

  test("restarts a child that crashes, waiting longer each time", async () => {
    const { ended } = supervise({ a: "exit 7" }, () => true);
    await until("three crashes", () => (ended.length >= 3 ? true : undefined));
    expect(ended.slice(0, 3).map(({ status, restartInMs }) => [status, restartInMs])).toEqual([[7, 500], [7, 1000], [7, 2000]]); // prettier-ignore
  });

  test("tells the signal that killed a child", async () => {
    const { ended } = supervise({ a: "kill -9 $$" });
    await until("the end", () => (ended.length > 0 ? true : undefined));
    expect(ended[0]?.status).toBe("SIGKILL");
  });

  test("stops the last started first, each only after the one before has ended", async () => {
    const program = (name: string) =>
      `trap 'sleep 0.1; echo ${name} >> order; exit 0' TERM; echo ready; while :; do sleep 0.02; done`;
    const { supervisor, lines, ended } = supervise({
      first: program("first"),
      second: program("second"),
      third: program("third"),
    });
    await until("all three", () => (lines.length === 3 ? true : undefined));
    await supervisor.stop();
    expect(readFileSync(join(directory, "order"), "utf8")).toBe("third\nsecond\nfirst\n");
    expect(ended).toEqual([]);
  });

  test("kills those that ignore the request", async () => {
    const { supervisor, lines } = supervise({ a: "trap '' TERM; echo $$; while :; do sleep 0.02; done" });
    const line = await until("its pid", () => lines[0]);
    const stopping = supervisor.stop();
    supervisor.kill();
    await stopping;
    expect(existsSync(`/proc/${line.slice(3)}`)).toBe(false);
  });
});
