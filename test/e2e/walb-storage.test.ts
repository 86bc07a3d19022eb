/** The storage in the executable: under the original's name with its options, and the demonstration. */
import { expect, test } from "bun:test";
import { existsSync, readFileSync, symlinkSync } from "node:fs";
import { join } from "node:path";
import { NbdClient } from "../../src/backup/nbd/client.ts";
import { controllerOf } from "../backup/servers.ts";
import { realWorld } from "../../src/core/seams/world-real.ts";
import { LoneExecutable, until } from "./executable.ts";

test("walb-storage takes the original's options, keeps its files where -b says, and ends at shutdown", async () => {
  using alone = await LoneExecutable.copy();
  const program = join(alone.directory, "walb-storage");
  symlinkSync(alone.path, program);
  const base = join(alone.directory, "s0");
  const words = [
    "-archive",
    "127.0.0.1:1",
    "-proxy",
    "127.0.0.1:2,127.0.0.1:3",
    "-b",
    `${base}/`,
    "-p",
    "0",
    "-id",
    "s0",
    "-wl",
    "64",
    "-snapintvl",
    "5",
  ];
  const environment = { NODE_X_WALB_HOST: "127.0.0.2", NODE_X_WALB_NBD_PORT: "0" };
  const child = Bun.spawn([program, ...words], {
    env: environment,
    stdin: "ignore",
    stdout: "ignore",
    stderr: "ignore",
  });
  try {
    const { port, nbdPort } = await until("its ports", () => {
      const file = `${base}.node-x/ports.json`;
      return existsSync(file)
        ? (JSON.parse(readFileSync(file, "utf8")) as Record<string, number>)
        : undefined;
    });
    const controller = controllerOf(realWorld(), "127.0.0.2", port as number);
    expect(await controller.get("host-type")).toBe("storage");
    const at = ["-a", "127.0.0.2", "-p", String(port)];
    expect(await alone.run(["walb", "volume", "create", "v1", "8M", "2M", ...at])).toMatchObject({
      code: 0,
      stderr: "",
    });
    // Wherever the controller may come from: volumes are for this host, as the original's devices are.
    const address = { host: "127.0.0.1", port: nbdPort as number, name: "v1" };
    await (await NbdClient.connect(realWorld(), address))[Symbol.asyncDispose]();
    await expect(NbdClient.connect(realWorld(), { ...address, host: "127.0.0.2" })).rejects.toThrow();
    await controller.command("init-vol", ["v1", "/dev/walb/v1"], "ok");
    expect(await controller.get("state", "v1")).toBe("SyncReady");
    expect((await controller.status()).filter((line) => line.startsWith("host"))).toEqual([
      "host 127.0.0.1:1:1",
      expect.stringContaining("host 127.0.0.1:2:2 isAvailable"),
      expect.stringContaining("host 127.0.0.1:3:3 isAvailable"),
    ]);
    expect(existsSync(join(base, "v1/state"))).toBe(true);
    expect(existsSync(`${base}.volumes/v1/log`)).toBe(true);
    await controller.shutdown(false);
    expect(await child.exited).toBe(0);
  } finally {
    child.kill("SIGKILL");
  }
}, 120_000);

test("node-x walb demo restores what was damaged, and leaves nothing behind", async () => {
  using alone = await LoneExecutable.copy();
  const { code, stdout, stderr } = await alone.run(["walb", "demo"], {
    TMPDIR: alone.directory,
    PATH: process.env.PATH ?? "",
  });
  expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
  expect(stdout).toMatch(/point \d+ is restored: [0-9a-f]{16}, the same/);
  expect(stdout).toContain("written back to the volume over NBD: the same");
  expect(stdout).not.toContain("ANOTHER");
  expect([...new Bun.Glob("node-x-demo-*").scanSync({ cwd: alone.directory, onlyFiles: false })]).toEqual([]);
}, 120_000);
