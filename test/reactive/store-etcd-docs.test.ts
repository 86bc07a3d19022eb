/** The first commands of docs/store-etcd.md and the sample that they use, as they stand but for ports and directories. */
import { expect, setDefaultTimeout, test } from "bun:test";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ensureExecutable } from "../../build.ts";
import { until } from "../e2e/executable.ts";
import { freePorts } from "../e2e/free-ports.ts";
import { executable } from "../e2e/node-process.ts";

setDefaultTimeout(60_000);

const root = join(import.meta.dir, "../..");

test("an etcd, the sample and curl are a store", async () => {
  await ensureExecutable();
  const [client, peer, http] = (await freePorts(3)) as [number, number, number];
  const directory = mkdtempSync(join(tmpdir(), "node-x-docs-"));
  const placed = (text: string) =>
    text
      .replaceAll("127.0.0.1:2379", `127.0.0.1:${client}`)
      .replaceAll("12355", String(http))
      .replaceAll("/tmp/node-x-etcd", join(directory, "etcd"));
  mkdirSync(join(directory, "configs"));
  symlinkSync(executable, join(directory, "node-x"));
  const sample = "configs/etcd.frontend0.json";
  writeFileSync(join(directory, sample), placed(readFileSync(join(root, sample), "utf8")));
  const page = readFileSync(join(root, "docs/store-etcd.md"), "utf8");
  const [start = "", curl = ""] = [...page.matchAll(/^```sh\n([\s\S]*?)^```/gm)].map(([, code = ""]) =>
    placed(code),
  );
  const url = (port: number) => `http://127.0.0.1:${port}`;
  const env = {
    PATH: `${directory}:${process.env["PATH"]}`,
    ETCD_LISTEN_CLIENT_URLS: url(client),
    ETCD_ADVERTISE_CLIENT_URLS: url(client),
    ETCD_LISTEN_PEER_URLS: url(peer),
    ETCD_INITIAL_ADVERTISE_PEER_URLS: url(peer),
    ETCD_INITIAL_CLUSTER: `default=${url(peer)}`,
  };
  const run = (code: string) =>
    Bun.spawn(["bash", "-c", code], {
      cwd: directory,
      env,
      stdin: "ignore",
      stdout: "pipe",
      stderr: "ignore",
    });
  // The shell's own end takes what it started along.
  const started = run(`trap 'kill $(jobs -p); wait' TERM\n${start}\nwait`);
  try {
    await until("the frontend to be ready", async () =>
      (await run("node-x health -c configs/etcd.frontend0.json").exited) === 0 ? true : undefined,
    );
    const said = await new Response(run(curl).stdout).text();
    expect(said).toMatch(/"outcome":"committed".*"text":"hello".*"outcome":"committed"/s);
  } finally {
    started.kill("SIGTERM");
    await started.exited;
    rmSync(directory, { recursive: true, force: true });
  }
});
