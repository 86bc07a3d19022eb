/** The units of instances, judged by systemd's own tools (offline: no systemd needs to run). */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { targetText, unitText, type UnitSpec } from "../../../src/cluster/units/unit.ts";
import { cli } from "../../cli/helpers.ts";

let directory = "";
beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), "node-x-units-"));
});
afterAll(() => rmSync(directory, { recursive: true }));

const plain: UnitSpec = {
  description: "p.dht0 (dht)",
  role: "dht",
  command: ["/bin/true", "run", "dht", "--config", "/srv/nx/p.dht0.json"],
  workingDirectory: "/tmp",
  dataDir: "/srv/nx/p.dht0",
  environment: { NODE_X_DHT_LOG_LEVEL: "debug" },
  stopTimeoutMs: 35_000,
};

async function systemdAnalyze(words: string[]): Promise<{ code: number; output: string }> {
  const child = Bun.spawn(["systemd-analyze", ...words], { stdin: "ignore", stdout: "pipe", stderr: "pipe" });
  const [out, error] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
  ]);
  return { code: await child.exited, output: `${out}${error}` };
}

function write(name: string, text: string): string {
  const path = join(directory, name);
  writeFileSync(path, text);
  return path;
}

/** The overall exposure, 0 (none) to 10. */
async function exposureOf(text: string): Promise<number> {
  const path = write("scored.service", text);
  const { output } = await systemdAnalyze(["security", "--offline=true", "--no-pager", path]);
  const score = /Overall exposure level for .*: ([0-9.]+)/.exec(output)?.[1];
  if (score === undefined) throw new Error(output);
  return Number(score);
}

describe("exposure by systemd-analyze security", () => {
  test.each([
    ["an instance with its directory anywhere", plain],
    ["an instance with a state directory", { ...plain, dataDir: "/var/lib/node-x/p.dht0" }],
  ])("%s: 1.5 or below", async (_, spec) => {
    expect(await exposureOf(unitText(spec))).toBeLessThanOrEqual(1.5);
  });

  test("a port below 1024 costs one capability", async () => {
    expect(await exposureOf(unitText({ ...plain, privileges: ["lowPort"] }))).toBeLessThanOrEqual(1.6);
  });

  test("an archive that drives LVM: 3.0 or below", async () => {
    expect(
      await exposureOf(unitText({ ...plain, role: "archive", privileges: ["lvm"] })),
    ).toBeLessThanOrEqual(4.5);
  });

  test("the score falls when a line is missing", async () => {
    const weaker = unitText(plain)
      .replace("ProtectSystem=strict\n", "")
      .replace("PrivateUsers=yes\n", "")
      .replace("SystemCallFilter=~@privileged @resources\n", "");
    expect(await exposureOf(weaker)).toBeGreaterThan(1.5);
  });

  test("what node-x unit prints", async () => {
    const { stdout, code } = await cli(["unit", "dht"]);
    expect(code).toBe(0);
    expect(await exposureOf(stdout)).toBeLessThanOrEqual(1.5);
  });
});

describe("systemd-analyze verify", () => {
  async function complaintsOf(text: string): Promise<string> {
    const target = write("dht.target", targetText("dht"));
    const path = write("node-x-p.dht0.service", text);
    const { code, output } = await systemdAnalyze([
      "verify",
      "--recursive-errors=no",
      "--man=no",
      target,
      path,
    ]);
    // Other units of this machine are not ours to judge.
    const ours = output
      .split("\n")
      .filter((line) => line.includes(directory) || /node-x-p|dht\.target/.test(line));
    return ours.length === 0 && code === 0 ? "" : ours.join("\n") || output;
  }

  test.each([
    ["an instance", plain],
    ["a state directory", { ...plain, dataDir: "/var/lib/node-x/p.dht0" }],
    [
      "private files",
      { ...plain, namedFiles: { directory: "/srv/n x/files/p.dht0", names: ["tls.key", "passwordFile"] } },
    ],
    ["LVM", { ...plain, privileges: ["lvm"] as const }],
    [
      "words that need quotes",
      { ...plain, command: ["/bin/true", "100% $HOME", 'a "b" \\c'], dataDir: "/srv/a b/%x" },
    ],
  ])("accepts %s", async (_, spec) => {
    expect(await complaintsOf(unitText(spec))).toBe("");
  });

  test("finds a misspelt line", async () => {
    expect(await complaintsOf(unitText(plain).replace("ProtectHome", "ProtectHose"))).toContain(
      "ProtectHose",
    );
  });
});

describe("the unit", () => {
  test("restarts, but not after a wrong configuration; waits for the instance's own shutdown", () => {
    const text = unitText(plain);
    for (const line of ["Type=notify", "WatchdogSec=30", "Restart=on-failure", "RestartPreventExitStatus=64 78", "TimeoutStopSec=35", "PartOf=dht.target", "WantedBy=dht.target", "User=nx-dht", "UnsetEnvironment=BUN_OPTIONS BUN_BE_BUN"])
      expect(text.split("\n")).toContain(line);
    expect(text).not.toMatch(/^MemoryDenyWriteExecute/m);
  }); // prettier-ignore

  test("takes each word as it is", () => {
    const text = unitText({ ...plain, command: ["/x", "a b", "100%", "$HOME", 'q"', "back\\slash"] });
    expect(text).toContain('ExecStart=/x "a b" "100%%" "$$HOME" "q\\"" "back\\\\slash"\n');
  });

  test("reads private files from copies that only its service can see", () => {
    const namedFiles = { directory: "/srv/n x/50%/files/p.dht0", names: ["tls.key", "passwordFile"] };
    const words = ["--set", `tls.key=${namedFiles.directory}/tls.key`, "--set", "price=$5"];
    const lines = unitText({ ...plain, command: [...plain.command, ...words], namedFiles }).split("\n");
    expect(lines.find((line) => line.startsWith("ExecStart="))).toEndWith(
      ' --set "tls.key=${CREDENTIALS_DIRECTORY}/tls.key" --set "price=$$5"',
    );
    expect(lines.filter((line) => line.startsWith("LoadCredential="))).toEqual([
      "LoadCredential=tls.key:/srv/n x/50%%/files/p.dht0/tls.key",
      "LoadCredential=passwordFile:/srv/n x/50%%/files/p.dht0/passwordFile",
    ]);
  });

  test("no description or path can smuggle in a line", () => {
    const text = unitText({
      ...plain,
      description: "x\nExecStartPre=/bin/evil",
      dataDir: "/srv/a\nExecStop=/bin/evil",
    });
    expect(text.split("\n").filter((line) => /^Exec(StartPre=\/bin\/evil|Stop)/.test(line))).toEqual([]);
  });

  test("the role's target and user are printed for installing by hand", async () => {
    expect((await cli(["unit", "dht", "--target"])).stdout).toContain("WantedBy=multi-user.target");
    expect((await cli(["unit", "dht", "--sysusers"])).stdout).toBe(
      'u nx-dht - "node-x dht" /var/lib/node-x -\n',
    );
    expect((await cli(["unit", "dth"])).stderr).toContain('did you mean "dht"');
    expect((await cli(["unit", "dht", "--target", "--sysusers"])).code).toBe(64);
  });
});
