/** Our own supervisor on a host without systemd: real processes that outlive whoever started them. */
import { afterAll, afterEach, describe, expect, test } from "bun:test";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ownCommand } from "../../../src/core/own-command.ts";
import { processOf, signalProcess } from "../../../src/core/processes.ts";
import { realClock } from "../../../src/core/seams/clock.ts";
import { RealDisk } from "../../../src/core/seams/disk-real.ts";
import { processesOf } from "../../../src/cluster/services/marks.ts";
import type { ServiceSpec } from "../../../src/cluster/services/services.ts";
import { SupervisedServices } from "../../../src/cluster/services/supervised.ts";
import { deploymentPaths } from "../../../src/cluster/topology/layout.ts";
import { lockFile } from "../../../src/native/system.ts";
import { until } from "../../core/kernel/harness.ts";

const top = mkdtempSync(join(tmpdir(), "nx-sup-"));
const all: { services: SupervisedServices; instances: string[] }[] = [];
afterEach(async () => {
  for (const { services, instances } of all.splice(0)) await services.kill(instances);
});
afterAll(() => rmSync(top, { recursive: true, force: true }));

/** Says who it is and what it was given, then waits; ends politely unless told not to. */
const POLITE = 'echo "hello $WORD"; trap "echo bye; exit 0" TERM; while :; do sleep 0.02; done';
const STUBBORN = 'echo hello; trap "" TERM; while :; do sleep 0.02; done';

let count = 0;

/** A deployment of these shell programs. */
async function deployment(
  programs: Record<string, string>,
  prefix = "p",
  directory = join(top, String(count++)),
) {
  mkdirSync(directory, { recursive: true });
  const paths = deploymentPaths(directory, prefix);
  const connect = () =>
    new SupervisedServices({
      paths,
      clock: realClock,
      disk: new RealDisk(lockFile),
      supervisorCommand: [...ownCommand(), "supervise"],
      environment: { PATH: process.env.PATH },
    });
  const services = connect();
  const specs = Object.entries(programs).map(([instance, script]): ServiceSpec => ({
    instance,
    role: "dht",
    command: ["sh", "-c", script],
    workingDirectory: directory,
    environment: { WORD: "world" },
    dataDir: join(directory, instance),
    outputFile: join(paths.log, `output.${instance}.txt`),
    stopTimeoutMs: 500,
  }));
  await services.install(specs);
  all.push({ services, instances: Object.keys(programs) });
  const output = (instance: string) => {
    const path = join(paths.log, `output.${instance}.txt`);
    return existsSync(path) ? readFileSync(path, "utf8") : "";
  };
  const says = (instance: string, text: string) =>
    until(`${instance} to say ${text}`, () => output(instance).includes(text) || undefined);
  const stateOf = async (instance: string) =>
    (await services.status()).find((each) => each.instance === instance);
  return { directory, paths, services, connect, specs, output, says, stateOf };
}

const isAlive = (pid: number | undefined) => pid !== undefined && processOf(pid) !== undefined;

describe("a deployment without systemd", () => {
  test("starts, tells, stops; its files are where the originals' are looked for", async () => {
    const { services, says, stateOf, paths, directory, output } = await deployment({ a: POLITE, b: POLITE });
    expect(await services.status()).toMatchObject([
      { instance: "a", state: "stopped" },
      { instance: "b", state: "stopped" },
    ]);
    await services.start("a");
    await says("a", "hello world");
    const running = await stateOf("a");
    expect(running).toMatchObject({ state: "running", restarts: 0 });
    expect(readFileSync(join(paths.run, "a.pid"), "utf8")).toBe(`${running?.pid}\n`);
    expect(readFileSync(join(directory, "output.a.txt"), "utf8")).toContain("hello world");
    expect((await stateOf("b"))?.state).toBe("stopped");
    await services.stop("a");
    expect((await stateOf("a"))?.state).toBe("stopped");
    expect(output("a")).toContain("bye");
    expect(isAlive(running?.pid)).toBe(false);
    expect(await services.lastLines("a", 1)).toEqual(["bye"]);
  });

  test("asking for what is already so does nothing", async () => {
    const { services, stateOf, says } = await deployment({ a: POLITE });
    await services.stop("a");
    await services.start("a");
    await says("a", "hello");
    const first = (await stateOf("a"))?.pid;
    await services.start("a");
    expect((await stateOf("a"))?.pid).toBe(first as number);
    await services.stop("a");
    await services.stop("a");
    await services.kill(["a"]);
  });

  test("lives on when whoever started it is gone, and is found again", async () => {
    const { connect, says, directory } = await deployment({ a: POLITE });
    const script = `
      const { SupervisedServices } = await import(${JSON.stringify(join(import.meta.dir, "../../../src/cluster/services/supervised.ts"))});
      const { RealDisk } = await import(${JSON.stringify(join(import.meta.dir, "../../../src/core/seams/disk-real.ts"))});
      const { lockFile } = await import(${JSON.stringify(join(import.meta.dir, "../../../src/native/system.ts"))});
      const { realClock } = await import(${JSON.stringify(join(import.meta.dir, "../../../src/core/seams/clock.ts"))});
      const { deploymentPaths } = await import(${JSON.stringify(join(import.meta.dir, "../../../src/cluster/topology/layout.ts"))});
      const services = new SupervisedServices({ paths: deploymentPaths(${JSON.stringify(directory)}, "p"), clock: realClock,
        disk: new RealDisk(lockFile), supervisorCommand: ${JSON.stringify([...ownCommand(), "supervise"])}, environment: { PATH: process.env.PATH } });
      await services.start("a");
      process.kill(process.pid, "SIGKILL");`;
    const operator = Bun.spawn([process.execPath, "-e", script], {
      stdout: "ignore",
      stderr: "inherit",
      detached: true,
    });
    await operator.exited;
    expect(operator.signalCode).toBe("SIGKILL");
    await says("a", "hello");
    const again = connect();
    expect((await again.status())[0]?.state).toBe("running");
    await again.stop("a");
    expect((await again.status())[0]?.state).toBe("stopped");
  });

  test("restarts what crashes, with a pause; what cannot work is left down", async () => {
    const { services, stateOf, says, paths } = await deployment({ a: POLITE, b: "exit 78" });
    await services.start("a");
    await says("a", "hello");
    const first = (await stateOf("a"))?.pid as number;
    process.kill(first, "SIGKILL");
    await until("a restart", async () => {
      const status = await stateOf("a");
      return status?.state === "running" && status.pid !== first ? true : undefined;
    });
    expect(await stateOf("a")).toMatchObject({ restarts: 1, lastEnd: "SIGKILL" });
    await services.start("b");
    const down = await until("b to be left down", async () => {
      const status = await stateOf("b");
      return status?.state === "stopped" && status.lastEnd !== undefined ? status : undefined;
    });
    expect(down).toMatchObject({ restarts: 0, lastEnd: "exit code 78" });
    await until("its pid file to go", () => !existsSync(join(paths.run, "b.pid")) || undefined);
  });

  test("kills what ignores the request to stop, after its time", async () => {
    const { services, stateOf, says } = await deployment({ a: STUBBORN });
    await services.start("a");
    await says("a", "hello");
    const pid = (await stateOf("a"))?.pid;
    await services.stop("a");
    expect(isAlive(pid)).toBe(false);
  });

  test("a supervisor that starts again continues with what was wanted", async () => {
    const { services, stateOf, says, paths, connect, output } = await deployment({ a: POLITE, b: POLITE });
    await services.start("a");
    await says("a", "hello");
    const pid = Number.parseInt(readFileSync(join(paths.run, "supervisor.lock"), "utf8"), 10);
    const supervisor = processOf(pid);
    expect(supervisor).toBeDefined();
    await services.kill([]);
    process.kill(pid, "SIGTERM");
    await until("the supervisor's end", () => processOf(pid) === undefined || undefined);
    expect(output("a")).toContain("bye");
    await connect().start("b");
    await until("a again", async () => (await stateOf("a"))?.state === "running" || undefined);
  });

  test("what is no longer installed is stopped and forgotten", async () => {
    const { services, specs, stateOf, says, directory } = await deployment({ a: POLITE, b: POLITE });
    await services.start("a");
    await says("a", "hello");
    const pid = (await stateOf("a"))?.pid;
    await services.install(specs.slice(1));
    expect(isAlive(pid)).toBe(false);
    expect((await services.status()).map(({ instance }) => instance)).toEqual(["b"]);
    expect(existsSync(join(directory, "output.a.txt"))).toBe(false);
  });

  test("many installs and starts at the same time, of several callers, lose nothing", async () => {
    const names = ["a", "b", "c", "d", "e", "f"];
    const { services, connect, specs, stateOf } = await deployment(
      Object.fromEntries(names.map((name) => [name, POLITE])),
    );
    const other = connect();
    await Promise.all(
      names.flatMap((name, index) => [
        (index % 2 === 0 ? services : other).install(specs),
        (index % 2 === 0 ? other : services).start(name),
      ]),
    );
    for (const name of names) expect((await stateOf(name))?.state).toBe("running");
  });

  test("the supervisor goes when nothing is wanted", async () => {
    const { services, paths } = await deployment({ a: POLITE });
    await services.start("a");
    const pid = Number.parseInt(readFileSync(join(paths.run, "supervisor.lock"), "utf8"), 10);
    await services.stop("a");
    await until("its end", () => processOf(pid) === undefined || undefined);
  });
});

describe("kill", () => {
  test("works when the supervisor hangs and every file of it is gone", async () => {
    const { services, paths, says, stateOf } = await deployment({ a: STUBBORN, b: STUBBORN });
    await services.start("a");
    await services.start("b");
    await says("b", "hello");
    const pids = [(await stateOf("a"))?.pid, (await stateOf("b"))?.pid];
    const supervisor = Number.parseInt(readFileSync(join(paths.run, "supervisor.lock"), "utf8"), 10);
    process.kill(supervisor, "SIGSTOP");
    for (const name of ["a.pid", "b.pid", "programs.json", "supervisor.sock"])
      rmSync(join(paths.run, name), { force: true });
    await services.kill(["a", "b"]);
    expect(pids.map(isAlive)).toEqual([false, false]);
    expect(processOf(supervisor)).toBeUndefined();
  });

  test("kills only those that are named, and they stay dead", async () => {
    const { services, says, stateOf } = await deployment({ a: POLITE, b: POLITE });
    await services.start("a");
    await services.start("b");
    await says("a", "hello");
    await says("b", "hello");
    const b = (await stateOf("b"))?.pid;
    await services.kill(["a"]);
    expect(await stateOf("a")).toMatchObject({ state: "stopped" });
    expect(await stateOf("b")).toMatchObject({ state: "running", pid: b as number });
  });

  test("never touches another prefix in the same directory, also one of the same instances", async () => {
    const one = await deployment({ a: POLITE });
    const other = await deployment({ a: POLITE }, "q", one.directory);
    await one.services.start("a");
    await other.services.start("a");
    await one.says("a", "hello");
    await other.says("a", "hello");
    const pid = (await other.stateOf("a"))?.pid;
    await one.services.kill(["a"]);
    expect((await other.stateOf("a"))?.pid).toBe(pid as number);
    expect(isAlive(pid)).toBe(true);
    expect(processesOf(one.paths.root)).toEqual([]);
  });

  test("a pid that belongs to somebody else meanwhile is left alone", () => {
    const mine = processOf(process.pid);
    expect(mine).toBeDefined();
    expect(signalProcess({ pid: process.pid, startTicks: "1" }, "SIGKILL")).toBe(false);
  });
});

test("a damaged list of programs is refused with what to do; installing anew replaces it", async () => {
  const { services, specs, paths } = await deployment({ a: POLITE });
  const list = join(paths.run, "programs.json");
  writeFileSync(list, "[{");
  expect(await services.status()).toEqual([]);
  await expect(services.lastLines("a", 1)).rejects.toThrow("is not a list of programs");
  await expect(services.start("a")).rejects.toThrow("did not start");
  await services.install(specs);
  expect(await services.status()).toMatchObject([{ instance: "a", state: "stopped" }]);
});
