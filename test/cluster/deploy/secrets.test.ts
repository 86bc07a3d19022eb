/**
 * Keys, tokens and passwords that a prefix's files name go to the host with it, and are nowhere else: not in what is printed, written
 * down or visible of a process.
 */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { createHash, randomBytes } from "node:crypto";
import {
  chmodSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  realpathSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { ensureExecutable } from "../../../build.ts";
import { SshCluster, type Ended } from "./ssh-cluster.ts";

let cluster: SshCluster;
let keys = "";
/** Everything that was printed. */
const said: string[] = [];
/** Everything that was ever secret. */
const secrets: string[] = [];
/** The password of the first deploy. */
let deployed = "";

async function nodeX(...words: string[]): Promise<Ended> {
  const ended = await cluster.run(words);
  said.push(ended.stdout, ended.stderr);
  return ended;
}

function newPassword(): string {
  const password = randomBytes(18).toString("hex");
  secrets.push(password);
  writeFileSync(join(keys, "password"), `${password}\n`, { mode: 0o600 });
  return password;
}

/** What the node answers to PING by TLS with this password. */
function ping(password: string): string {
  const words = ["-h", "127.0.0.1", "-p", String(cluster.settings.dht0?.respPort)];
  const { stdout, stderr } = Bun.spawnSync([
    ...["redis-cli", ...words, "--tls", "--cacert", join(keys, "ca.crt")],
    ...["--no-auth-warning", "-a", password, "ping"],
  ]);
  return `${stdout}${stderr}`.trim();
}

const host = () => cluster.workingDirectories[0] as string;
const deployedFiles = () => realpathSync(join(host(), ".node-x/c/active/c.dht0/files/c.dht0"));

beforeAll(async () => {
  await ensureExecutable();
  cluster = await SshCluster.start(1, { addresses: ["127.0.0.1"] });
  keys = join(cluster.directory, "files/keys");
  mkdirSync(keys);
  expect((await cluster.run(["tls", "ca", keys])).code).toBe(0);
  expect((await cluster.run(["tls", "issue", "server", keys, "--host=127.0.0.1"])).code).toBe(0);
  secrets.push(readFileSync(join(keys, "server.key"), "utf8").split("\n")[1] as string);
  cluster.settings.dht0 = {
    ...cluster.settings.dht0,
    passwordFile: "keys/password",
    tls: { cert: "keys/server.crt", key: "keys/server.key" },
    log: { level: "trace" },
  };
  await cluster.writeFiles();
}, 120_000);

afterAll(async () => {
  await cluster.run(["kill", cluster.prefix]);
  cluster[Symbol.dispose]();
});

test("a secret that others can read is refused before a host is touched", async () => {
  newPassword();
  chmodSync(join(keys, "password"), 0o644);
  const { code, stderr } = await nodeX("deploy", cluster.prefix, "-y");
  expect([code, stderr]).toEqual([78, expect.stringContaining("which other users can access (mode 0644)")]);
  expect(existsSync(host())).toBe(false);
}, 120_000);

test("a secret that is not beside the files is said to have to be on the host", async () => {
  rmSync(join(keys, "password"));
  const { code, stdout } = await nodeX("check", cluster.prefix);
  expect(code).toBe(0);
  expect(stdout).toContain(`passwordFile: ${keys}/password is not there to be deployed`);
  // Whoever only looks need not have it.
  expect((await nodeX("status", cluster.prefix)).stderr).not.toContain("password");
}, 120_000);

test("keys and passwords go to the host, each private to the instance's user, and the instance uses them", async () => {
  deployed = newPassword();
  const { code, stderr } = await nodeX("deploy", cluster.prefix, "-y");
  expect(code, stderr).toBe(0);
  const modes = (path: string) => (statSync(path).mode & 0o777).toString(8);
  const names = readdirSync(deployedFiles());
  expect(names.toSorted()).toEqual(["passwordFile", "tls.cert", "tls.key"]);
  expect(names.map((name) => modes(join(deployedFiles(), name)))).toEqual(["600", "600", "600"]);
  expect([modes(deployedFiles()), modes(join(deployedFiles(), ".."))]).toEqual(["700", "700"]);
  expect(modes(join(deployedFiles(), "../../release.json"))).toBe("600");
  expect(ping(deployed)).toBe("PONG");
  expect(ping("wrong")).toContain("WRONGPASS");
}, 120_000);

test("an unchanged secret is nothing to do, a changed one is told as changed without what is in it", async () => {
  expect((await nodeX("deploy", cluster.prefix, "--plan")).stdout).toBe("c: nothing to do\n");
  newPassword();
  const { code, stdout } = await nodeX("deploy", cluster.prefix, "--plan");
  expect(code).toBe(2);
  expect(stdout.split("\n").filter((line) => line.includes("files/"))).toEqual([
    "  ~ files/c.dht0/passwordFile",
  ]);
  const plan = JSON.parse((await nodeX("deploy", cluster.prefix, "--plan", "--json")).stdout) as {
    hosts: { items: object[] }[];
  };
  expect(plan.hosts[0]?.items).toEqual([{ change: "change", item: "files/c.dht0/passwordFile" }]);
}, 120_000);

test("a rotated secret holds after a deploy, and a rollback brings the one before", async () => {
  const rotated = newPassword();
  expect((await nodeX("deploy", cluster.prefix, "-y")).code).toBe(0);
  expect([ping(rotated), ping(deployed)]).toEqual(["PONG", expect.stringContaining("WRONGPASS")]);
  expect((await nodeX("rollback", cluster.prefix, "-y")).code).toBe(0);
  expect([ping(rotated), ping(deployed)]).toEqual([expect.stringContaining("WRONGPASS"), "PONG"]);
}, 120_000);

/** Empty when it is gone: processes end, and files are renamed. */
function textIfAny(path: string): string {
  try {
    return readFileSync(path, "latin1");
  } catch {
    return "";
  }
}

/** Where one of the secrets, or its digest, can be read outside the places that are made for it. */
function leaks(): string[] {
  const digest = (text: string) => createHash("sha256").update(text).digest("hex");
  const marks = secrets.flatMap((secret) => [secret, digest(secret), digest(`${secret}\n`)]);
  const has = (text: string) => marks.some((mark) => text.includes(mark));
  const found = said.filter(has).map((text) => `printed: ${text.slice(0, 200)}`);
  for (const name of new Bun.Glob("**/*").scanSync({ cwd: cluster.directory, dot: true, onlyFiles: true })) {
    const isForSecrets = name.startsWith("files/keys/") || /\/releases\/[^/]+\/files\//.test(name);
    const path = join(cluster.directory, name);
    if (isForSecrets || name.endsWith("/node-x")) continue;
    if (has(textIfAny(path))) found.push(name);
  }
  for (const pid of readdirSync("/proc").filter((entry) => /^\d+$/.test(entry))) {
    for (const file of ["cmdline", "environ"]) {
      if (has(textIfAny(`/proc/${pid}/${file}`))) found.push(`${file} of ${pid}`);
    }
  }
  return found;
}

test("no secret, and no digest of one, is in a plan, a log, an audit, a command line or an environment", async () => {
  for (const words of [
    ["check", cluster.prefix, "--json"],
    ["status", cluster.prefix, "--json"],
    ["logs", cluster.prefix, "-n", "1000"],
    ["audit", cluster.prefix, "--json"],
    ["rollback", cluster.prefix, "--list", "--json"],
    ["deploy", cluster.prefix, "--plan", "--json"],
  ])
    await nodeX(...words);
  expect(said.join("").length).toBeGreaterThan(1000);
  expect(leaks()).toEqual([]);
  // The same search finds one where it does not belong.
  const log = join(host(), ".node-x/c/log/planted.txt");
  writeFileSync(log, `a password: ${secrets.at(-1)}\n`);
  const child = Bun.spawn(["sleep", "60"], { env: { PASSWORD: secrets.at(-1) as string } });
  try {
    expect(leaks()).toEqual([
      expect.stringContaining("log/planted.txt"),
      expect.stringContaining("environ of"),
    ]);
  } finally {
    child.kill("SIGKILL");
    rmSync(log);
  }
}, 120_000);
