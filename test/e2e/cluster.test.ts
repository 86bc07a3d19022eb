/**
 * A prefix as an operator uses it: the compiled executable deploys itself on this machine, without ssh, with real nodes.
 *
 * The tests follow each other on one deployment, because that is what an operator's day is: each says what it needs of the one
 * before. What is about ssh, several machines and interrupted rollouts has tests of its own.
 */
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { existsSync, mkdirSync, readdirSync, readFileSync, readlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { RedisClient } from "bun";
import { ensureExecutable } from "../../build.ts";
import { processesOf } from "../../src/cluster/services/marks.ts";
import { deploymentPaths } from "../../src/cluster/topology/layout.ts";
import { type Finished, until } from "./executable.ts";
import { finished, linesOf, Operator } from "./operator.ts";

// Real processes on a machine that may be busy.
setDefaultTimeout(120_000);

const operator = new Operator();
const { top } = operator;
const nodeX = (words: string[], environment: Record<string, string> = {}): Promise<Finished> =>
  operator.run(words, environment);

const free = { port: 0, respPort: 0 };
const quick = { rollout: { readyTimeoutMs: 30_000, healthyForMs: 100 } };

function write(name: string, value: object): void {
  operator.write({ [`c/${name}`]: value });
}

interface Row {
  instance: string;
  state: string;
  isReady: boolean;
  pid: number | null;
  release: string | null;
  restarts: number;
}

async function rows(prefix = "c/p"): Promise<Map<string, Row>> {
  const { stdout } = await nodeX(["status", prefix, "--json"]);
  return new Map((JSON.parse(stdout) as Row[]).map((row) => [row.instance, row]));
}

async function redis(instance: string): Promise<RedisClient> {
  const ports = JSON.parse(readFileSync(join(top, "host", instance, "ports.json"), "utf8")) as {
    respPort: number;
  };
  return new RedisClient(`redis://127.0.0.1:${ports.respPort}`);
}

/** Resolves when somebody holds the lock of `p`. */
async function untilLocked(): Promise<void> {
  const lock = join(top, "host/.node-x/p/lock/lock.json");
  await until("the lock", () => {
    const text = existsSync(lock) ? readFileSync(lock, "utf8") : "";
    return text.includes('"owner"') || undefined;
  });
}

beforeAll(async () => {
  await ensureExecutable();
  mkdirSync(operator.path("c"));
  write("p.dht0.json", free);
  write("p.dht1.json", free);
  write("q.dht0.json", free);
  for (const prefix of ["p", "q"]) write(`${prefix}.cluster.json`, quick);
});
afterAll(async () => {
  await nodeX(["kill", "c/p"]);
  await nodeX(["kill", "c/q"]);
  operator[Symbol.dispose]();
});

describe("from nothing to a cluster", () => {
  test("a plan changes nothing and ends with 2", async () => {
    const { code, stdout } = await nodeX(["deploy", "c/p", "--plan"]);
    expect(code).toBe(2);
    expect(stdout).toContain("+ configs/p.dht0.json");
    expect(stdout).toContain("replace dht  p.dht0 p.dht1");
    expect(existsSync(join(top, "host/.node-x"))).toBe(false);
  });

  test("nobody to ask and no -y: nothing is done", async () => {
    const { code, stderr } = await nodeX(["deploy", "c/p"]);
    expect([code, stderr]).toEqual([64, expect.stringContaining("nothing was done")]);
    expect(existsSync(join(top, "host/.node-x/p/releases"))).toBe(false);
  });

  test("start deploys first, and all become ready", async () => {
    const { code, stderr, stdout } = await nodeX(["start", "c/p"]);
    expect([code, stdout], stderr).toEqual([0, "2 instances started\n"]);
    const status = await rows();
    expect([...status.values()].map(({ instance, state, isReady }) => [instance, state, isReady])).toEqual([
      ["p.dht0", "running", true],
      ["p.dht1", "running", true],
    ]);
    expect(readlinkSync(join(top, "host/.node-x/p/current"))).toBe(
      `releases/${status.get("p.dht0")?.release}`,
    );
    expect(readFileSync(join(top, "host/output.dht.0.txt"), "utf8")).toContain("ready");
  });

  test("then there is nothing to do, for start and for deploy", async () => {
    expect(await nodeX(["start", "c/p"])).toMatchObject({ code: 0, stdout: "p: nothing to do\n" });
    expect(await nodeX(["deploy", "c/p", "--plan"])).toMatchObject({ code: 0, stdout: "p: nothing to do\n" });
  });
});

describe("a change of one file", () => {
  test("replaces that instance only, and its records stay", async () => {
    const before = await rows();
    const client = await redis("p.dht1");
    await client.set("kept", "yes");
    client.close();
    write("p.dht1.json", { ...free, log: { level: "trace" } });
    const plan = JSON.parse((await nodeX(["deploy", "c/p", "--plan", "--json"])).stdout) as {
      instances: { name: string; action: string }[];
      hosts: { items: { change: string; item: string }[] }[];
      unchanged: string[];
    };
    expect(plan.instances.map(({ name, action }) => [name, action])).toEqual([["p.dht1", "replace"]]);
    expect(plan.hosts[0]?.items.map(({ change, item }) => [change, item])).toEqual([
      ["change", "configs/p.dht1.json"],
    ]);
    expect(plan.unchanged).toEqual(["p.dht0"]);
    const upgrade = await nodeX(["upgrade", "c/p", "-y"]);
    expect([upgrade.code, upgrade.stderr]).toEqual([
      78,
      expect.stringContaining("not only the executable differs: localhost: configs/p.dht1.json"),
    ]);
    const other = await nodeX(["deploy", "c/p", "--only", "dht0", "--plan"]);
    expect(other).toMatchObject({ code: 0, stdout: "p: nothing to do\n" });
    const { code, stderr } = await nodeX(["deploy", "c/p", "-y"]);
    expect(code, stderr).toBe(0);
    const after = await rows();
    expect(after.get("p.dht0")?.pid).toBe(before.get("p.dht0")?.pid as number);
    expect(after.get("p.dht1")?.pid).not.toBe(before.get("p.dht1")?.pid as number);
    const again = await redis("p.dht1");
    expect(await again.get("kept")).toBe("yes");
    again.close();
  });

  test("rollback goes back to the release before, which the plan of a deploy then sees", async () => {
    const releases = JSON.parse((await nodeX(["rollback", "c/p", "--list", "--json"])).stdout) as {
      release: string;
      isCurrent: boolean;
    }[];
    expect(releases.map(({ isCurrent }) => isCurrent)).toEqual([true, false]);
    expect((await nodeX(["rollback", "c/p", "--plan"])).code).toBe(2);
    const { code, stderr } = await nodeX(["rollback", "c/p", "-y"]);
    expect(code, stderr).toBe(0);
    expect((await rows()).get("p.dht1")?.release).toBe(releases[1]?.release as string);
    expect((await nodeX(["deploy", "c/p", "--plan"])).code).toBe(2);
    expect((await nodeX(["rollback", "c/p", "no-such"])).stderr).toContain("NX_RELEASE_UNKNOWN");
    expect((await nodeX(["deploy", "c/p", "-y"])).code).toBe(0);
  });

  test("that cannot start: its last lines are shown, it goes back, the exit code is 75", async () => {
    const taken = Bun.listen({ hostname: "127.0.0.1", port: 0, socket: { data() {} } });
    try {
      const before = await rows();
      write("p.dht1.json", { port: 0, respPort: taken.port });
      write("p.cluster.json", { rollout: { readyTimeoutMs: 8000, healthyForMs: 100 } });
      const { code, stderr } = await nodeX(["deploy", "c/p", "-y"]);
      expect(code, stderr).toBe(75);
      expect(stderr).toContain("NX_LISTEN_IN_USE");
      expect(stderr).toContain("p.dht1: is back");
      // Once, in the error at the end.
      expect(stderr).toContain("error: gate of p.dht1: p.dht1 on localhost: ");
      const reasons = stderr.split("\n").filter((line) => line.includes("start failed"));
      expect(new Set(reasons).size).toBe(reasons.length);
      const after = await rows();
      expect([after.get("p.dht1")?.isReady, after.get("p.dht1")?.release]).toEqual([
        true,
        before.get("p.dht1")?.release as string,
      ]);
      expect(after.get("p.dht0")?.pid).toBe(before.get("p.dht0")?.pid as number);
      const list = (await nodeX(["rollback", "c/p", "--list"])).stdout;
      expect(list.split("\n")[0]).toContain("bad");
    } finally {
      taken.stop(true);
      write("p.dht1.json", free);
      write("p.cluster.json", quick);
    }
  });
});

describe("day to day", () => {
  test("restart replaces every process, stop ends them in order, start brings them back", async () => {
    await nodeX(["deploy", "c/p", "-y"]);
    const before = await rows();
    expect((await nodeX(["restart", "c/p"])).code).toBe(0);
    const after = await rows();
    for (const name of ["p.dht0", "p.dht1"])
      expect(after.get(name)?.pid).not.toBe(before.get(name)?.pid as number);
    const stopped = await nodeX(["stop", "c/p", "--only", "dht1"]);
    expect(stopped).toMatchObject({ code: 0, stdout: "1 instance stopped\n" });
    const status = await nodeX(["status", "c/p"]);
    expect(status.code).toBe(1);
    expect(status.stdout).toContain("p.dht1\tlocalhost\tstopped");
    expect((await nodeX(["start", "c/p"])).stdout).toBe("1 instance started\n");
  });

  test("logs come with their instance's name", async () => {
    const { code, stdout } = await nodeX(["logs", "c/p", "-n", "2"]);
    expect(code).toBe(0);
    expect(
      stdout
        .trim()
        .split("\n")
        .map((line) => line.slice(0, 8))
        .toSorted(),
    ).toEqual(["p.dht0 |", "p.dht0 |", "p.dht1 |", "p.dht1 |"]);
  });

  test("status --watch and logs -f go on until Ctrl-C", async () => {
    const watching = operator.spawn(["status", "c/p", "--watch", "--period-ms", "100", "--json"]);
    const pictures = linesOf(watching.stdout);
    for (let count = 0; count < 3; count++) expect((await pictures.next()).value).toContain('"p.dht0"');
    watching.kill("SIGINT");
    expect(await watching.exited).toBe(0);

    const following = operator.spawn(["logs", "c/p", "-f", "-n", "1", "--only", "dht1"]);
    const lines = linesOf(following.stdout);
    expect((await lines.next()).value).toStartWith("p.dht1 |");
    const { pid } = (await rows()).get("p.dht1") as Row;
    process.kill(pid as number, "SIGHUP");
    for (let line = ""; !line.includes("configuration read again");) {
      const { value, done } = await lines.next();
      expect(done).toBe(false);
      line = value as string;
    }
    following.kill("SIGINT");
    expect(await following.exited).toBe(0);
  });

  test("exec takes each word as it is", async () => {
    const { code, stdout } = await nodeX(["exec", "c/p", "--", "printf", "%s\n", "a b", "$HOME", "*"]);
    expect([code, stdout]).toEqual([0, "localhost | a b\nlocalhost | $HOME\nlocalhost | *\n"]);
    const failed = await nodeX(["exec", "c/p", "--json", "--", "sh", "-c", "echo one; echo two >&2; exit 3"]);
    expect([failed.code, JSON.parse(failed.stdout)]).toEqual([
      3,
      [{ host: "localhost", code: 3, signal: null, stdout: "one\n", stderr: "two\n" }],
    ]);
  });

  test("a lock keeps others out and tells why; kill works all the same", async () => {
    expect((await nodeX(["lock", "c/p", "--why", "disks are replaced", "--for", "10m"])).code).toBe(0);
    const refused = await nodeX(["stop", "c/p"]);
    expect([refused.code, refused.stderr]).toEqual([75, expect.stringContaining("disks are replaced")]);
    expect(await nodeX(["kill", "c/p", "--only", "dht1"])).toMatchObject({
      code: 0,
      stdout: "killed p.dht1\n",
    });
    expect(JSON.parse((await nodeX(["unlock", "c/p", "--json"])).stdout)).toMatchObject({
      given: [{ host: "localhost", why: "disks are replaced" }],
      foreign: [],
    });
    expect(await nodeX(["unlock", "c/p"])).toMatchObject({ code: 0, stdout: "p was not locked\n" });
    expect((await nodeX(["start", "c/p"])).code).toBe(0);
  });

  test("somebody else's lock is only given back by force", async () => {
    const path = join(top, "host/.node-x/p/lock/lock.json");
    const { generation } = JSON.parse(readFileSync(path, "utf8")) as { generation: number };
    const holder = {
      owner: "eve@there",
      why: "holidays",
      sinceMs: Date.now(),
      expiresAtMs: Date.now() + 3_600_000,
    };
    writeFileSync(path, JSON.stringify({ generation: generation + 1, holder }));
    const refused = await nodeX(["unlock", "c/p"]);
    expect([refused.code, refused.stderr]).toEqual([
      75,
      expect.stringContaining("eve@there holds it: holidays"),
    ]);
    expect((await nodeX(["unlock", "c/p", "--force"])).stdout).toContain("eve@there's lock is given back");
    expect((await nodeX(["restart", "c/p", "--only", "dht1"], { NODE_X_DEPLOY_SILENCE_MS: "5" })).code).toBe(
      64,
    );
  });

  test("a host keeps the last five releases and those in use", async () => {
    const releases = () => readdirSync(join(top, "host/.node-x/p/releases"));
    const before = releases();
    const inUse = (await rows()).get("p.dht0")?.release as string;
    for (const connections of [11, 12, 13, 14]) {
      write("p.dht1.json", { ...free, limits: { connections } });
      expect((await nodeX(["deploy", "c/p", "-y"])).code).toBe(0);
    }
    expect(before.length + 4).toBeGreaterThan(6);
    expect(releases()).toHaveLength(6);
    expect(releases()).toContain(inUse);
    write("p.dht1.json", free);
    expect((await nodeX(["deploy", "c/p", "-y"])).code).toBe(0);
  });

  test("of two operators at once one deploys, and the other is told who does", async () => {
    write("p.dht1.json", { ...free, log: { level: "info" } });
    const first = operator.spawn(["deploy", "c/p", "-y"]);
    const outcome = finished(first);
    await untilLocked();
    const second = await nodeX(["deploy", "c/p", "-y"]);
    expect([second.code, second.stderr]).toEqual([75, expect.stringContaining("has the lock since")]);
    expect((await outcome).code).toBe(0);
    expect((await nodeX(["deploy", "c/p", "--plan"])).stdout).toBe("p: nothing to do\n");
  });

  test("Ctrl-C ends a deployment between two steps: every instance runs, the lock is free, the next one finishes", async () => {
    write("p.dht0.json", { ...free, log: { level: "trace" } });
    write("p.dht1.json", { ...free, log: { level: "trace" } });
    const deploying = operator.spawn(["deploy", "c/p", "-y"]);
    const outcome = finished(deploying);
    await untilLocked();
    deploying.kill("SIGINT");
    const { code, stderr } = await outcome;
    expect(stderr).toContain("stopping after the steps that are under way");
    expect([75, 130]).toContain(code);
    expect([...(await rows()).values()].map(({ state, isReady }) => [state, isReady])).toEqual([
      ["running", true],
      ["running", true],
    ]);
    const { code: again, stderr: errors } = await nodeX(["deploy", "c/p", "-y"]);
    expect(again, errors).toBe(0);
    for (const name of ["p.dht0.json", "p.dht1.json"]) write(name, free);
    expect((await nodeX(["deploy", "c/p", "-y"])).code).toBe(0);
  });

  test("the audit log tells who did what, and notices a changed line", async () => {
    const { code, stdout } = await nodeX(["audit", "c/p", "-n", "1000"]);
    expect(code).toBe(0);
    for (const word of [
      "node-x restart c/p",
      "node-x kill c/p",
      "node-x lock c/p: disks are replaced",
      "exec printf",
      "write release",
    ])
      expect(stdout).toContain(word);
    const path = join(top, "host/.node-x/p/audit.jsonl");
    const text = readFileSync(path, "utf8");
    writeFileSync(path, text.replace('"action":"stop"', '"action":"stay"'));
    const broken = await nodeX(["audit", "c/p"]);
    expect(broken.code).not.toBe(0);
    expect(broken.stderr).toContain("NX_AUDIT_BROKEN");
    writeFileSync(path, text);
  });
});

describe("kill", () => {
  test("S2: never touches another prefix on the same host, works with mistakes in the files, and nothing is restarted", async () => {
    expect((await nodeX(["start", "c/q"])).code).toBe(0);
    const other = (await rows("c/q")).get("q.dht0");
    write("p.dht1.json", { respPort: -1 });
    const { code, stdout, stderr } = await nodeX(["kill", "c/p"]);
    expect([code, stdout]).toEqual([0, "killed p.dht0 p.dht1\n"]);
    expect(stderr).toContain("p.dht1.json:1:13");
    expect(processesOf(deploymentPaths(join(top, "host"), "p").root)).toEqual([]);
    expect((await rows("c/q")).get("q.dht0")?.pid).toBe(other?.pid as number);
    write("p.dht1.json", free);
    expect([...(await rows()).values()].map(({ state }) => state)).toEqual(["stopped", "stopped"]);
  });

  test("an instance that was killed by somebody else comes back by itself", async () => {
    const before = (await rows("c/q")).get("q.dht0");
    process.kill(before?.pid as number, "SIGKILL");
    for (;;) {
      const row = (await rows("c/q")).get("q.dht0");
      if (row?.isReady === true && row.pid !== before?.pid) {
        expect(row.restarts).toBe(1);
        return;
      }
      await Bun.sleep(50);
    }
  });
});

describe("destroy", () => {
  test("removes the deployment, keeps data unless told otherwise, leaves other prefixes alone", async () => {
    expect((await nodeX(["destroy", "c/p"])).code).toBe(64);
    expect((await nodeX(["destroy", "c/p", "-y"])).code).toBe(0);
    expect(existsSync(join(top, "host/.node-x/p"))).toBe(false);
    expect(existsSync(join(top, "host/p.dht0"))).toBe(true);
    expect((await rows("c/q")).get("q.dht0")?.isReady).toBe(true);
    const destroyed = await nodeX(["destroy", "c/q", "-y", "--data", "--json"]);
    expect([destroyed.code, JSON.parse(destroyed.stdout)]).toEqual([
      0,
      {
        removed: [".node-x/q", "q.dht0"].map((name) => ({
          host: "localhost",
          path: join(top, "host", name),
        })),
      },
    ]);
    expect(existsSync(join(top, "host/q.dht0"))).toBe(false);
  });
});
