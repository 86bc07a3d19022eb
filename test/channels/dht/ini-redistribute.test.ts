/** A redistribution of a node that was configured by an INI file: the file has the new range, and a restart keeps it. */
import { afterEach, expect, test } from "bun:test";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { dht } from "../../../src/channels/dht/role.ts";
import { loadConfig } from "../../../src/core/config/load.ts";
import { Instance } from "../../../src/core/kernel/instance.ts";
import { formatText, logOutput } from "../../../src/core/logging/log.ts";
import { realWorld } from "../../../src/core/seams/world-real.ts";
import { schemaCatalog } from "../../../src/roles.ts";
import { until } from "../../e2e/executable.ts";

const directory = mkdtempSync(join(tmpdir(), "node-x-ini-range-"));
afterEach(() => rmSync(directory, { recursive: true, force: true }));

const text = (min: string, max: string) => `; minval = 1
[Server]
address = 127.0.0.1
port = 0
minval = 0x${min}   
maxval = ${max}
[Options_Memory]
`;

const load = () =>
  loadConfig(
    { file: "x.ini", role: "dht", environment: {}, sets: [], workingDirectory: directory },
    schemaCatalog,
  );

async function start(lines: string[]): Promise<Instance> {
  const world = realWorld();
  return Instance.start(dht, await load(), {
    world,
    logOutput: logOutput("info", [{ sink: { write: (line) => lines.push(line) }, format: formatText }]),
    onFatal: (error) => lines.push(error.message),
  });
}

/** Sends one request in hex and resolves with the answer of `length` bytes in hex. */
async function ask(instance: Instance, request: string, length: number): Promise<string> {
  const { promise, resolve } = Promise.withResolvers<string>();
  let received = "";
  const data = (_socket: unknown, chunk: Buffer) => {
    received += chunk.toString("hex");
    if (received.length >= 2 * length) resolve(received);
  };
  const port = instance.ports.port as number;
  const socket = await Bun.connect({ hostname: "127.0.0.1", port, socket: { data } });
  socket.write(Buffer.from(request.replaceAll(" ", ""), "hex"));
  const answer = await promise;
  socket.end();
  return answer;
}

// Own 0000… to 7fff…; the other half goes to a node that does not answer.
const redistribute =
  "21000000 0000000000000000 ffffffffffffff7f " +
  "09000000000000003132372e302e302e31 0100 0000000000000080 ffffffffffffffff 0000000000000000";

test("rewrites the digits in the file, and a reload and a restart agree with it", async () => {
  writeFileSync(join(directory, "x.ini"), text("0".repeat(16), "F".repeat(16)));
  const lines: string[] = [];
  let instance = await start(lines);
  expect(await ask(instance, redistribute, 4)).toBe("c8000000");
  // It moves records only once the range is saved.
  await until(
    "the redistribution to start",
    () => lines.some((line) => line.includes("started")) || undefined,
  );
  const half = text("0".repeat(16), `7${"f".repeat(15)}`);
  expect(readFileSync(join(directory, "x.ini"), "utf8")).toBe(half);
  expect(await instance.reload(await load())).toEqual([]);
  await instance.stop();
  instance = await start(lines);
  expect(await ask(instance, "14000000", 20)).toBe("c8000000" + "0000000000000000" + "ffffffffffffff7f");
  await instance.stop();
  expect(lines.filter((line) => line.includes("no longer counts"))).toEqual([]);
});
