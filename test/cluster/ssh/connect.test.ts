/**
 * Reaching a host over the system's OpenSSH: keys, first contact, the bootstrap, and what is said when it
 * fails.
 */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { appendFileSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Executable } from "../../../src/cluster/release/executable.ts";
import { connectAgent, type ConnectOptions } from "../../../src/cluster/ssh/connect.ts";
import type { Host } from "../../../src/cluster/topology/types.ts";
import { realRandom } from "../../../src/core/seams/random.ts";
import { RealDisk } from "../../../src/core/seams/disk-real.ts";
import { lockFile } from "../../../src/native/system.ts";
import { ensureExecutable } from "../../../build.ts";
import { executable as executablePath } from "../../e2e/node-process.ts";
import { until } from "../../e2e/executable.ts";
import { SshClient, SshServer } from "./sshd.ts";

const disk = new RealDisk(lockFile);
let client: SshClient;
let server: SshServer;
let executable: Executable;
const directories: string[] = [];

function workingDirectory(): string {
  directories.push(mkdtempSync(join(tmpdir(), "node-x-host-")));
  return directories.at(-1) as string;
}

const optionsOf = (more: Partial<ConnectOptions> = {}): ConnectOptions => ({
  disk,
  random: realRandom,
  settings: client.settings,
  environment: process.env,
  directory: client.own,
  prefix: "test",
  localAgent: [executablePath, "agent", "--stdio"],
  ...more,
});

beforeAll(async () => {
  await ensureExecutable();
  client = new SshClient();
  server = await SshServer.start({ client });
  executable = await Executable.read(disk, executablePath);
}, 120_000);

afterAll(() => {
  server[Symbol.dispose]();
  client[Symbol.dispose]();
  for (const directory of directories) rmSync(directory, { recursive: true, force: true });
});

describe("a host that nobody knows", () => {
  test("is refused with its fingerprint, and nothing is written down", async () => {
    const host = server.host("one", workingDirectory());
    const refused = await connectAgent(host, optionsOf({ executable })).catch((error: Error) => error);
    expect(refused).toMatchObject({ code: "NX_HOST_KEY_UNKNOWN" });
    expect((refused as Error).message).toContain(server.fingerprint);
    expect(existsSync(client.knownHosts)).toBe(false);
    expect(existsSync(join(host.workingDirectory, ".node-x"))).toBe(false);
  });

  test("is asked about, and known from then on when the person agrees", async () => {
    const host = server.host("one", workingDirectory());
    const asked: string[] = [];
    const confirmKeys = async (_: string, keys: readonly { fingerprint: string }[]) => {
      asked.push(...keys.map(({ fingerprint }) => fingerprint));
      return true;
    };
    // It gets as far as asking for an agent: ssh trusts the key.
    for (let meeting = 1; meeting <= 2; meeting++) {
      const met = await connectAgent(host, optionsOf({ confirmKeys })).catch((error: Error) => error);
      expect(met).toMatchObject({ code: "NX_NOT_RUNNING" });
    }
    expect(asked).toEqual([server.fingerprint]);
    expect(readFileSync(client.knownHosts, "utf8")).toBe(server.knownHostsLine);
  });

  test("may be pinned by fingerprint, without known_hosts", async () => {
    using other = new SshClient();
    appendFileSync(join(server.directory, "authorized_keys"), readFileSync(`${other.key}.pub`));
    const host = server.host("one", workingDirectory(), [server.fingerprint]);
    const options = optionsOf({ settings: other.settings, directory: other.own });
    const met = await connectAgent(host, options).catch((error: Error) => error);
    expect(met).toMatchObject({ code: "NX_NOT_RUNNING" });
    expect(existsSync(other.knownHosts)).toBe(false);
  });
});

test("a host with another key than the pinned one is sent nothing", async () => {
  const wrong = `SHA256:${"A".repeat(43)}`;
  const host = server.host("one", workingDirectory(), [wrong]);
  const refused = await connectAgent(host, optionsOf({ executable })).catch((error: Error) => error);
  expect(refused).toMatchObject({ code: "NX_HOST_KEY_CHANGED" });
  expect((refused as Error).message).toContain(server.fingerprint);
});

test("a host whose key changed is refused, also with a person who would agree", async () => {
  using other = await SshServer.start({ client });
  const line = `[${other.address}]:${other.port} ${server.knownHostsLine.split(" ").slice(1).join(" ")}`;
  appendFileSync(client.knownHosts, line);
  const host = other.host("other", workingDirectory());
  const refused = connectAgent(host, optionsOf({ executable, confirmKeys: async () => true }));
  expect(await refused.catch((error: Error) => error)).toMatchObject({ code: "NX_HOST_KEY_CHANGED" });
});

test("a host behind another is reached through it, and both keys are checked", async () => {
  using inner = await SshServer.start({ client });
  const through = (jump: string): Host => {
    const { access, ...host } = inner.host("inner", workingDirectory(), [inner.fingerprint]);
    return { ...host, access: { ...access, jump } as Host["access"] };
  };
  const met = await connectAgent(through(`${server.address}:${server.port}`), optionsOf()).catch(
    (error: Error) => error,
  );
  expect(met).toMatchObject({ code: "NX_NOT_RUNNING" });
  using unknown = await SshServer.start({ client });
  const refused = await connectAgent(
    through(`${unknown.address}:${unknown.port}`),
    optionsOf({ directory: workingDirectory() }),
  ).catch((error: Error) => error);
  expect(refused).not.toMatchObject({ code: "NX_NOT_RUNNING" });
  expect(refused).toBeInstanceOf(Error);
}, 120_000);

test("a user whose key is not let in is told so", async () => {
  using stranger = new SshClient();
  writeFileSync(stranger.knownHosts, server.knownHostsLine);
  const host = server.host("one", workingDirectory());
  const refused = connectAgent(host, optionsOf({ executable, settings: stranger.settings }));
  expect(await refused.catch((error: Error) => error)).toMatchObject({ code: "NX_HOST_DENIED" });
});

test("a key that only an agent holds lets in", async () => {
  using stranger = new SshClient();
  writeFileSync(stranger.knownHosts, server.knownHostsLine);
  const socket = join(stranger.directory, "agent");
  const config = `UserKnownHostsFile ${stranger.knownHosts}\nGlobalKnownHostsFile /dev/null\nIdentityFile none\n`;
  writeFileSync(stranger.settings.configFile as string, config);
  const agent = Bun.spawn(["ssh-agent", "-D", "-a", socket], { stdout: "ignore", stderr: "ignore" });
  try {
    await until("the agent", () => existsSync(socket) || undefined);
    const environment = { ...process.env, SSH_AUTH_SOCK: socket };
    const meet = () =>
      connectAgent(
        server.host("one", workingDirectory()),
        optionsOf({ settings: stranger.settings, environment }),
      ).catch((error: Error) => error);
    expect(await meet()).toMatchObject({ code: "NX_HOST_DENIED" });
    expect(Bun.spawnSync(["ssh-add", "-q", client.key], { env: environment }).exitCode).toBe(0);
    expect(await meet()).toMatchObject({ code: "NX_NOT_RUNNING" });
  } finally {
    agent.kill("SIGKILL");
  }
}, 120_000);

test("a host that is down is told apart from one that refuses", async () => {
  using gone = await SshServer.start({ client });
  gone.stop();
  const host = gone.host("gone", workingDirectory());
  const refused = await connectAgent(host, optionsOf({ executable })).catch((error: Error) => error);
  expect(refused).toMatchObject({ code: "NX_HOST_UNREACHABLE" });
  expect((refused as Error).message).toContain("Connection refused");
});

test("an executable for another processor or C library is refused before it is sent, with the reason", async () => {
  const directory = workingDirectory();
  const host = server.host("one", directory);
  for (const [platform, reason] of [
    [{ machine: "aarch64", libc: "glibc" }, "built for aarch64"],
    [{ machine: executable.platform.machine, libc: "musl" }, "built for musl"],
  ] as const) {
    const foreign = Object.create(executable, { platform: { value: platform } }) as Executable;
    const refused = await connectAgent(host, optionsOf({ executable: foreign })).catch(
      (error: Error) => error,
    );
    expect(refused).toMatchObject({ code: "NX_EXECUTABLE_UNFIT" });
    expect((refused as Error).message).toContain(reason);
  }
  expect(existsSync(join(directory, ".node-x"))).toBe(false);
});

test("without an executable to send, a host without agent says that nothing is deployed", async () => {
  const refused = connectAgent(server.host("one", workingDirectory()), optionsOf());
  expect(await refused.catch((error: Error) => error)).toMatchObject({ code: "NX_NOT_RUNNING" });
});
