/** The INI files of the original queue node, of both generations, through the same loading as every configuration. */
import { expect, test } from "bun:test";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { tryLoadConfig } from "../../../src/core/config/load.ts";
import { noticeText, problemText } from "../../../src/core/config/problem.ts";
import { schemaCatalog } from "../../../src/roles.ts";
import { temporaryDirectory } from "../../cli/helpers.ts";

const server = `[Server]
address = 127.0.0.1
port = 10000
channel_size_limit = 1000000
`;

/** Loads the text as etc/config.ini, beside what else is in etc/. */
async function load(text: string, role?: string, others: Record<string, string> = {}) {
  const directory = temporaryDirectory();
  try {
    mkdirSync(join(directory.path, "etc"));
    writeFileSync(join(directory.path, "etc/config.ini"), text);
    for (const [name, contents] of Object.entries(others))
      writeFileSync(join(directory.path, "etc", name), contents, { mode: 0o600 });
    const outcome = await tryLoadConfig(
      {
        file: "etc/config.ini",
        ...(role !== undefined && { role }),
        environment: {},
        sets: [],
        workingDirectory: directory.path,
      },
      schemaCatalog,
    );
    return {
      config: outcome.config?.config as Record<string, Record<string, unknown>> | undefined,
      problems: outcome.problems.map(problemText),
      notices: outcome.notices.map(noticeText),
    };
  } finally {
    directory.remove();
  }
}

test("the first generation", async () => {
  const { config, problems } = await load(
    `${server}data_dir = d
connection_limit = 77
size_limit = 5000000
[Performance]
write_flush_ms = 1
[Stats]
logfile = l/stats.log
console_stats_enabled = true
[LOG.Root]
level = warn
`,
    "queue",
  );
  expect(problems).toEqual([]);
  expect(config).toMatchObject({
    port: 10_000,
    respPort: null,
    durability: "save",
    channels: { ringBytes: 1_000_000, sizeBytesMax: 5_000_000 },
    limits: { connections: 77 },
    swarm: { writeFlushMs: 1, generation: "seed" },
  });
});

test("the later generation, told by its own sections, with sizes by prefix", async () => {
  const { config, problems, notices } = await load(`${server}neoport = 10001
unix_socket_path = queue.socket
cpu = 0
[ChannelSizeById]
clicks = 2000000
orders = 3000000
[Overflow]
write_index_ms = 60000
[Performance]
no_delay = false
`);
  expect(problems).toEqual([]);
  expect(config?.["channels"]?.["ringBytesByPrefix"]).toEqual(["clicks=2000000", "orders=3000000"]);
  expect(notices.filter((notice) => notice.includes("warning"))).toEqual([]);
});

test("a missing size, and sizes that are none, are told with their places", async () => {
  const { problems } = await load(
    "[Server]\naddress = 127.0.0.1\nport = 1\n[ChannelSizeById]\nx = many\n",
    "queue",
  );
  expect(problems).toEqual([
    expect.stringContaining("[Server] channel_size_limit, the bytes of one channel"),
    expect.stringContaining(
      'etc/config.ini:5:5: channels.ringBytesByPrefix: wanted a number of bytes from 10 on, got "many"',
    ),
  ]);
});

test("credentials where the originals have them open the neo port", async () => {
  const { config } = await load(server, "queue", { credentials: `admin:${"0f".repeat(128)}\n` });
  expect(config?.["neo"]?.["credentialsFile"]).toEndWith("/etc/credentials");
  expect((await load(server, "queue")).config?.["neo"]?.["credentialsFile"]).toBeUndefined();
});

test("sizes by prefix that contradict each other are told with their place", async () => {
  for (const sizes of ["click = 1000\nclicks = 2000", "click = 1000\norders = 12"]) {
    const { problems } = await load(`${server}[ChannelSizeById]\n${sizes}\n`, "queue");
    expect(problems).toEqual([
      expect.stringMatching(
        /^etc\/config\.ini:\d+:\d+: channels\.ringBytesByPrefix: wanted prefixes of which none begins/,
      ),
    ]);
  }
});
