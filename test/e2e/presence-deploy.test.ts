/** A presence service deployed by its prefix: on this host, without ssh, as `node-x deploy` does it. */
import { expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ensureExecutable } from "../../build.ts";
import { freePorts } from "./free-ports.ts";
import { executable } from "./presence-service.ts";

test("a prefix of presence files is deployed, serves, and is stopped", async () => {
  await ensureExecutable();
  const directory = mkdtempSync(join(tmpdir(), "node-x-presence-deploy-"));
  const run = async (...words: string[]) => {
    const environment = { DIAMOND_WORKING_DIR: join(directory, "hosts"), HOME: directory };
    const child = Bun.spawn([executable, ...words], {
      cwd: directory,
      env: environment,
      stdout: "pipe",
      stderr: "pipe",
    });
    const [stdout, stderr] = await Promise.all([
      new Response(child.stdout).text(),
      new Response(child.stderr).text(),
    ]);
    return { code: await child.exited, stdout, stderr };
  };
  try {
    const [port, ...lookups] = await freePorts(4);
    mkdirSync(join(directory, "configs"));
    const write = (name: string, config: object) =>
      writeFileSync(join(directory, "configs", `p.${name}.json`), JSON.stringify(config));
    write("regserver0", { port, debug: true });
    lookups.forEach((own, index) =>
      write(`lookup${index}`, { port: own, regServer: `http://127.0.0.1:${port}` }),
    );
    const lookupServers = lookups.map((own) => `localhost:${own}`);
    writeFileSync(
      join(directory, "servers.cfg"),
      JSON.stringify({ regServer: `localhost:${port}`, lookupServers }),
    );

    const deployed = await run("deploy", "configs/p", "-y");
    expect({ code: deployed.code, stderr: deployed.stderr }).toMatchObject({ code: 0 });
    expect((await run("presence", "users", "10", "users.10", "--buddies", "4")).code).toBe(0);
    const client = await run("presence", "client", "servers.cfg", "users.10", "--force-pir");
    expect(client.stdout).toContain("all right: 40 states");
    expect(client.code).toBe(0);
  } finally {
    await run("kill", "configs/p");
    rmSync(directory, { recursive: true, force: true });
  }
}, 90_000);
