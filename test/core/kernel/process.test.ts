/** An instance in a process of its own: signals, last words, locks, the service manager. */
import { afterEach, describe, expect, test } from "bun:test";
import { existsSync, readdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { connectRaw, EchoProcess, TestDirectory, until } from "./harness.ts";
import { NotifySocket } from "./notify-socket.ts";

const processes: EchoProcess[] = [];
const directories: TestDirectory[] = [];
afterEach(async () => {
  for (const child of processes.splice(0)) await child[Symbol.asyncDispose]();
  for (const directory of directories.splice(0)) directory[Symbol.dispose]();
});

function configured(config: Record<string, unknown> = {}): TestDirectory {
  const directory = new TestDirectory().configure(config);
  directories.push(directory);
  return directory;
}

function run(directory: TestDirectory, environment: Record<string, string> = {}): EchoProcess {
  const child = new EchoProcess(directory, environment);
  processes.push(child);
  return child;
}

/** Sends one word to a ready process. */
async function say(port: number, word: string) {
  const client = await connectRaw(port);
  client.socket.write(word);
  return client;
}

function crashReport(directory: TestDirectory): Record<string, string> {
  const files = readdirSync(directory.dataDir).filter((name) => name.startsWith("crash-"));
  expect(files).toHaveLength(1);
  return JSON.parse(directory.read(files[0] as string));
}

describe("stopping", () => {
  for (const signal of ["SIGTERM", "SIGINT", "SIGQUIT"] as const) {
    test(`${signal} drains and ends with 0`, async () => {
      const child = run(configured());
      await child.ready();
      child.child.kill(signal);
      expect(await child.ended()).toBe(0);
      expect(child.stderr).toMatch(/SIG\w+: stopping[^]*draining begins[^]*stopped\n$/);
      expect(existsSync(join(child.directory.dataDir, "lock"))).toBe(false);
    });
  }

  test("a second signal ends it at once, while the first still drains", async () => {
    const child = run(configured({ drainMs: 3_600_000, shutdownTimeoutMs: 3_600_000 }));
    await child.ready();
    child.child.kill("SIGTERM");
    await child.logged(/draining begins/);
    child.child.kill("SIGTERM");
    expect(await child.ended()).toBe(1);
    expect(child.stderr).toContain("ended without waiting");
  });

  test("a shutdown past its deadline ends with 1 and says so", async () => {
    const child = run(configured({ drainMs: 3_600_000, shutdownTimeoutMs: 50 }));
    await child.ready();
    child.child.kill("SIGTERM");
    expect(await child.ended()).toBe(1);
    expect(child.stderr).toContain("cut short");
  });

  test("works while it is still starting", async () => {
    const child = run(configured(), { ECHO_HANGS: "1" });
    await child.logged(/starting echo/);
    child.child.kill("SIGTERM");
    expect(await child.ended()).toBe(0);
  });
});

describe("stopping before it is ready", () => {
  test("drains and stops a role that serves already", async () => {
    const child = run(configured(), { ECHO_SERVES_LONG_BEFORE_READY: "1" });
    await child.logged(/listening.*port/);
    child.child.kill("SIGTERM");
    expect(await child.ended()).toBe(0);
    expect(child.stderr).toMatch(/SIGTERM: stopping[^]*draining begins[^]*stopped\n$/);
    expect(child.stderr).not.toMatch(/\] - ready/);
    expect(existsSync(join(child.directory.dataDir, "lock"))).toBe(false);
  });
});

describe("last words", () => {
  test("an unhandled rejection ends it with 70, one line and a crash file", async () => {
    const child = run(configured());
    await say(await child.ready(), "reject!");
    expect(await child.ended()).toBe(70);
    expect(child.stderr).toMatch(/Fatal \[echo\] - nobody catches this code=NX_INTERNAL crashFile=/);
    expect(crashReport(child.directory)).toMatchObject({
      code: "NX_INTERNAL",
      message: "nobody catches this",
      stack: expect.stringContaining("echo-role.ts"),
    });
    expect(child.directory.read("log/root.log")).toContain("Fatal [echo] - nobody catches this");
  });

  test("a fatal failure of the role ends it with the error's own code", async () => {
    const child = run(configured());
    await say(await child.ready(), "fatal!");
    expect(await child.ended()).toBe(74);
    expect(crashReport(child.directory)).toMatchObject({
      code: "NX_DISK_FAILED",
      message: "sync of store/1.log failed: EIO",
    });
  });

  test("an exception in a socket handler costs that connection and nothing else", async () => {
    const child = run(configured());
    const port = await child.ready();
    const bystander = await say(port, "one");
    const victim = await say(port, "crash!");
    await until("the close", () => (victim.isClosed ? true : undefined));
    await child.logged(
      /a connection was closed by a defect of ours remote=127\.0\.0\.1:\d+ reason="asked to crash"/,
    );
    bystander.socket.write("two");
    await until("the echo", () => (bystander.received === "onetwo" ? true : undefined));
  });

  test("a reader of standard error that went away costs its lines, not the service", async () => {
    const directory = configured();
    const echo = join(import.meta.dir, "echo-process.ts");
    const command = `exec "${process.execPath}" "${echo}" "${directory.configFile}" 2> >(exec true)`;
    await using child = Bun.spawn(["bash", "-c", command], {
      stdin: "ignore",
      stdout: "ignore",
      stderr: "ignore",
    });
    const file = join(directory.dataDir, "ports.json");
    await until("its ports", () => (existsSync(file) ? true : undefined));
    const { port } = JSON.parse(directory.read("ports.json"));
    await say(port, "crash!");
    await until("the line in the log file", () =>
      directory.read("log/root.log").includes("asked to crash") ? true : undefined,
    );
    const client = await say(port, "hello");
    await until("the echo", () => (client.received === "hello" ? true : undefined));
    child.kill("SIGTERM");
    expect(await child.exited).toBe(0);
  });

  test("keeps a bounded number of crash files", async () => {
    const directory = configured();
    const first = run(directory);
    await first.ready();
    for (let index = 0; index < 30; index++)
      writeFileSync(join(directory.dataDir, `crash-2020-01-${String(index).padStart(2, "0")}.json`), "{}");
    await say(await first.ready(), "fatal!");
    await first.ended();
    const files = readdirSync(directory.dataDir).filter((name) => name.startsWith("crash-"));
    expect(files).toHaveLength(20);
    expect(files).not.toContain("crash-2020-01-00.json");
    expect(files.some((name) => !name.startsWith("crash-2020"))).toBe(true);
  });
});

describe("the lock", () => {
  test("is held against another process, which names the owner and ends with 75", async () => {
    const directory = configured();
    const owner = run(directory);
    await owner.ready();
    const rival = run(directory);
    expect(await rival.ended()).toBe(75);
    expect(rival.stderr).toContain(`in use by process ${owner.child.pid}`);
    await say(await owner.ready(), "still there");
  });

  test("does not outlive kill -9, and neither do the socket and the ports", async () => {
    const directory = configured();
    const first = run(directory);
    await first.ready();
    first.child.kill("SIGKILL");
    await first.ended();
    expect(existsSync(join(directory.dataDir, "admin.sock"))).toBe(true);
    const second = run(directory);
    const client = await say(await second.ready(), "hello");
    await until("the echo", () => (client.received === "hello" ? true : undefined));
  });
});

describe("SIGHUP and SIGUSR1", () => {
  test("SIGHUP applies what can be changed and says what", async () => {
    const directory = configured();
    const child = run(directory);
    await child.ready();
    directory.configure({ greeting: 5 });
    child.child.kill("SIGHUP");
    await child.logged(/applied greeting: 0 -> 5 \(.*echo\.json:1:\d+\)/);
  });

  test("SIGHUP refuses a change that needs a restart, and a file with mistakes, and goes on", async () => {
    const directory = configured();
    const child = run(directory);
    const port = await child.ready();
    directory.configure({ greeting: 5, port: port + 1 });
    child.child.kill("SIGHUP");
    await child.logged(/reload refused, nothing was applied: port: 0 -> \d+/);
    writeFileSync(directory.configFile, '{ "gretting": 1 }');
    child.child.kill("SIGHUP");
    await child.logged(/reload refused, nothing was applied: .*gretting/);
    const client = await say(port, "hello");
    await until("the echo", () => (client.received === "hello" ? true : undefined));
  });

  for (const signal of ["SIGUSR1", "SIGHUP"] as const) {
    test(`${signal} reopens a log that another program moved away`, async () => {
      const directory = configured();
      const child = run(directory);
      const port = await child.ready();
      const file = join(directory.dataDir, "log/root.log");
      renameSync(file, `${file}.moved`);
      child.child.kill(signal);
      await until("the new file", () => (existsSync(file) ? true : undefined));
      await say(port, "crash!");
      await until("a line in it", () =>
        readFileSync(file, "utf8").includes("asked to crash") ? true : undefined,
      );
      expect(readFileSync(`${file}.moved`, "utf8")).not.toContain("asked to crash");
    });
  }
});

describe("under a service manager", () => {
  for (const kind of ["path", "abstract"] as const) {
    test(`tells STATUS, READY, RELOADING and STOPPING through a socket with ${kind === "path" ? "a path" : "an abstract name"}`, async () => {
      await using manager = await NotifySocket.open(kind);
      const directory = configured();
      const child = run(directory, { NOTIFY_SOCKET: manager.name });
      await child.ready();
      await manager.received("READY=1\nSTATUS=echo is ready");
      expect(manager.messages[0]).toBe("STATUS=loading echoes: 37 %\nEXTEND_TIMEOUT_USEC=60000000");
      child.child.kill("SIGHUP");
      await until("READY again", () =>
        manager.messages.filter((text) => text.startsWith("READY=1")).length === 2 ? true : undefined,
      );
      const reloading = manager.messages.find((text) => text.startsWith("RELOADING=1\nMONOTONIC_USEC="));
      // The manager compares it with its own CLOCK_MONOTONIC, which does not start with our process.
      expect(Math.abs(manager.monotonicUs() - Number(reloading?.split("=").at(-1)))).toBeLessThan(20e6);
      child.child.kill("SIGTERM");
      expect(await child.ended()).toBe(0);
      await manager.received("STOPPING=1");
    });
  }

  test("feeds the watchdog from the event loop: a loop that is stuck feeds it no more", async () => {
    await using manager = await NotifySocket.open("path");
    const child = run(configured(), { NOTIFY_SOCKET: manager.name, WATCHDOG_USEC: "100000" });
    const port = await child.ready();
    const count = () => manager.messages.filter((text) => text === "WATCHDOG=1").length;
    await until("three of them", () => (count() >= 3 ? true : undefined));
    await say(port, "spin!");
    // It starves once a whole watchdog period passes without a message: that is when the manager kills it.
    await manager.silentFor(100);
    const atStarvation = count();
    await manager.silentFor(200);
    expect(count()).toBe(atStarvation);
  });

  test("draws the live line on a terminal, and a last one at the end", () => {
    const directory = configured();
    // A pseudo-terminal from Python: prints what a terminal would be sent, and presses Ctrl-C once the line was drawn.
    const program = `
import os, pty, sys, time
pid, fd = pty.fork()
if pid == 0: os.execv(sys.argv[1], sys.argv[1:])
seen = b""
pressed = False
while True:
    try: chunk = os.read(fd, 4096)
    except OSError: break
    if not chunk: break
    seen += chunk
    if b"\\r  echo: 0 bytes\\x1b[K" in seen and not pressed:
        pressed = True
        os.write(fd, b"\\x03")
sys.stdout.buffer.write(seen)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
`;
    const { exitCode, stdout } = Bun.spawnSync([
      "python3",
      "-c",
      program,
      process.execPath,
      join(import.meta.dir, "echo-process.ts"),
      directory.configFile,
    ]);
    expect(stdout.toString()).toContain("\r  echo: 0 bytes\x1b[K");
    expect(stdout.toString()).toContain("\rShutting down.\x1b[K\r\n");
    expect(stdout.toString()).toMatch(/\r\x1b\[K[\d-]+ [\d:,]+ Info \[echo\] - stopped/);
    expect(exitCode).toBe(0);
  });

  test("writes JSON lines where standard error is the journal, text elsewhere", async () => {
    const directory = configured();
    const file = join(directory.path, "journal");
    // JOURNAL_STREAM names the device and inode of the stream: here a file stands for the journal's socket.
    const script = `exec 2>"${file}"; export JOURNAL_STREAM="$(stat -L -c '%d:%i' /proc/self/fd/2)"; exec "${process.execPath}" "${join(import.meta.dir, "echo-process.ts")}" "${directory.configFile}"`;
    const child = Bun.spawn(["sh", "-c", script], { stdin: "ignore", stdout: "ignore", stderr: "ignore" });
    await until("the line", () =>
      existsSync(file) && readFileSync(file, "utf8").includes('"message":"ready"') ? true : undefined,
    );
    child.kill("SIGTERM");
    expect(await child.exited).toBe(0);
    const lines = readFileSync(file, "utf8")
      .trimEnd()
      .split("\n")
      .map((line) => JSON.parse(line));
    expect(
      lines.every(
        ({ level, logger, time }) =>
          level !== undefined && logger.startsWith("echo") && !Number.isNaN(Date.parse(time)),
      ),
    ).toBe(true);

    const elsewhere = run(configured(), { JOURNAL_STREAM: "1:1" });
    await elsewhere.ready();
    expect(elsewhere.stderr).toMatch(/^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} Info \[echo\] - starting echo /);
  });
});
