/** The INI files of the original dht node, through the same loading as every configuration. */
import { describe, expect, test } from "bun:test";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { dhtDialect } from "../../../src/channels/dht/ini.ts";
import { isSetting, matches } from "../../../src/core/config/ini/dialect.ts";
import { tryLoadConfig } from "../../../src/core/config/load.ts";
import { originText } from "../../../src/core/config/origin.ts";
import { noticeText, problemText } from "../../../src/core/config/problem.ts";
import { schemaCatalog } from "../../../src/roles.ts";
import { cli, temporaryDirectory } from "../../cli/helpers.ts";

const server = `[Server]
address = 127.0.0.1
port = 10000
minval = 0x0000000000000000
maxval = 7FFFFFFFFFFFFFFF
`;

/** Loads the texts as etc/config.ini, etc/2.ini …; `show` tells a key as value and origin. */
async function load(...texts: string[]) {
  const directory = temporaryDirectory();
  try {
    mkdirSync(join(directory.path, "etc"));
    const files = texts.map((_, index) => (index === 0 ? "etc/config.ini" : `etc/${index + 1}.ini`));
    texts.forEach((text, index) => writeFileSync(join(directory.path, files[index] as string), text));
    const [file = "", ...furtherFiles] = files;
    const outcome = await tryLoadConfig(
      { file, furtherFiles, role: "dht", environment: {}, sets: [], workingDirectory: directory.path },
      schemaCatalog,
    );
    const show = (key: string) => {
      const path = key.split(".");
      const value = path.reduce<unknown>(
        (object, part) => (object as Record<string, unknown>)[part],
        outcome.config?.config,
      );
      return [value, originText(outcome.config?.origins.exact(path) ?? { kind: "default" })];
    };
    return {
      config: outcome.config,
      show,
      path: directory.path,
      problems: outcome.problems.map(problemText),
      notices: outcome.notices.map(noticeText),
    };
  } finally {
    directory.remove();
  }
}

describe("sets our keys, each with its place", () => {
  test("of the first generation", async () => {
    const { show, path, problems } = await load(`${server}data_dir = d
connection_limit = 77
[Options_Memory]
size_limit = 123
dump_period = 60
disable_dump_thread = true
allow_out_of_range = false
[Stats]
logfile = l/stats.log
file_count = 4
max_file_size = 1000000
console_stats_enabled = true
[LOG.Root]
level = warn
file = l/root.log
`);
    expect(problems).toEqual([]);
    expect(show("host")).toEqual(["127.0.0.1", "etc/config.ini:2:11"]);
    expect(show("hashRange.min")).toEqual(["0000000000000000", "etc/config.ini:4:10"]);
    expect(show("hashRange.max")).toEqual(["7fffffffffffffff", "etc/config.ini:5:10"]);
    expect(show("dataDir")).toEqual([join(path, "d"), "etc/config.ini:6:12"]);
    expect(show("limits.connections")).toEqual([77, "etc/config.ini:7:20"]);
    expect(show("swarm.sizeBytesMax")).toEqual([123, "etc/config.ini:9:14"]);
    expect(show("dump.periodSeconds")).toEqual([60, "etc/config.ini:10:15"]);
    expect(show("dump.disabled")).toEqual([true, "etc/config.ini:11:23"]);
    expect(show("dump.allowOutOfRange")).toEqual(["fatal", "etc/config.ini:12:22"]);
    expect(show("port")).toEqual([10_000, "etc/config.ini:3:8"]);
    expect(show("respPort")).toEqual([null, "default"]);
    expect(show("durability")).toEqual(["dump", "default"]);
    expect(show("log.statsFile")).toEqual([join(path, "l/stats.log"), "etc/config.ini:14:11"]);
    expect(show("log.filesMax")).toEqual([4, "etc/config.ini:15:14"]);
    expect(show("log.fileBytesMax")).toEqual([1_000_000, "etc/config.ini:16:17"]);
    expect(show("log.console")).toEqual(["line", "etc/config.ini:17:25"]);
    expect(show("log.level")).toEqual(["warn", "etc/config.ini:19:9"]);
    expect(show("log.file")).toEqual([join(path, "l/root.log"), "etc/config.ini:20:8"]);
  });

  test("of the second generation", async () => {
    const { show, path, problems, notices } = await load(`${server}unix_socket_path = dhtnode.socket
[Performance]
write_flush_ms = 1
redist_memory_limit_mulitplier = 1.25
[Options_Memory]
batch_size = 32768
allow_out_of_range = ignore
abort_after_all_out_of_range = 0
[STATS]
file_name = s.log
interval = 5
[LOG]
file_count = 3
[LOG.dhtnode.storage]
level = trace
[UNIX_SOCKET]
mode = 660
[PidLock]
path = run/dht.pid
`);
    expect(problems).toEqual([]);
    expect(show("swarm.writeFlushMs")).toEqual([1, "etc/config.ini:8:18"]);
    expect(show("swarm.redistributePercent")).toEqual([125, "etc/config.ini:9:34"]);
    expect(show("swarm.batchBytes")).toEqual([32_768, "etc/config.ini:11:14"]);
    expect(show("dump.batchBytesMax")).toEqual([32_768, "etc/config.ini:11:14"]);
    expect(show("dump.allowOutOfRange")).toEqual(["ignore", "etc/config.ini:12:22"]);
    expect(show("dump.abortAfterAllOutOfRange")).toEqual([0, "etc/config.ini:13:32"]);
    expect(show("log.statsFile")).toEqual([join(path, "s.log"), "etc/config.ini:15:13"]);
    expect(show("log.statsPeriodMs")).toEqual([5000, "etc/config.ini:16:12"]);
    expect(show("log.filesMax")).toEqual([3, "etc/config.ini:18:14"]);
    expect(show("pidFile")).toEqual([join(path, "run/dht.pid"), "etc/config.ini:24:8"]);
    expect(show("swarm.backlog")).toEqual([2048, "default"]);
    expect(notices.filter((notice) => notice.includes("warning"))).toEqual([]);
    expect(show("commandSocket.path")).toEqual([join(path, "dhtnode.socket"), "etc/config.ini:6:20"]);
    expect(show("commandSocket.mode")).toEqual(["0600", "default"]);
    expect(show("logSocket.mode")).toEqual(["660", "etc/config.ini:22:8"]);
    expect(notices).toContain(
      "etc/config.ini:20:1: note: [LOG.dhtnode.storage] level has no effect: there is one log, [LOG.Root]; its lines name the part that wrote them",
    );
  });

  test("a flush period of 0 is the shortest there is; a backlog is taken", async () => {
    const { show, problems } = await load(`${server}backlog = 64\n[Performance]\nwrite_flush_ms = 0\n`);
    expect(problems).toEqual([]);
    expect(show("swarm.writeFlushMs")).toEqual([1, "etc/config.ini:8:18"]);
    expect(show("swarm.backlog")).toEqual([64, "etc/config.ini:6:11"]);
  });

  test("and what nobody sets is where the originals have it", async () => {
    const { show, path } = await load(server);
    expect(show("dataDir")).toEqual([join(path, "data"), "default"]);
    expect(show("log.file")).toEqual([join(path, "log/root.log"), "default"]);
  });

  test("the empty range of the originals", async () => {
    const { show, problems } = await load(
      server
        .replace("0x0000000000000000", "FFFFFFFFFFFFFFFF")
        .replace("7FFFFFFFFFFFFFFF", "0000000000000000"),
    );
    expect(problems).toEqual([]);
    expect(show("hashRange.max")[0]).toBe("0000000000000000");
  });

  test("a line at each start goes to log/version.log unless it is switched off", async () => {
    const { show, path } = await load(server);
    expect(show("log.versionFile")).toEqual([join(path, "log/version.log"), "default"]);
    const { show: showOff } = await load(`${server}[VERSION]\ndefault_version_log = false\n`);
    expect(showOff("log.versionFile")).toEqual([null, "etc/config.ini:7:23"]);
  });

  test("a second file is laid over the first", async () => {
    const { show } = await load(`${server}connection_limit = 1\n`, "[Server]\nconnection_limit = 2\n");
    expect(show("limits.connections")).toEqual([2, "etc/2.ini:2:20"]);
  });
});

describe("tells", () => {
  test("which of two keys decides, unless nothing is lost", async () => {
    const { show, notices } = await load(
      `${server}[Stats]\nfile_count = 5\nconsole_stats_enabled = true\n[LOG]\nfile_count = 3\n[LOG.Root]\nconsole = true\n`,
    );
    expect(show("log.filesMax")[0]).toBe(3);
    // The live line is drawn below the log's lines.
    expect(show("log.console")[0]).toBe("line");
    expect(notices.filter((notice) => notice.includes("overruled"))).toEqual([
      "etc/config.ini:7:1: note: [Stats] file_count is overruled by [LOG] file_count: here both are log.filesMax",
    ]);
  });

  test("unknown keys and sections as warnings that name the line, with the nearest name", async () => {
    const { problems, notices } = await load(
      `${server}conection_limit = 5\n[Option_Memory]\nsize_limit = 1\n`,
    );
    expect(problems).toEqual([]);
    const warnings = notices.filter((notice) => notice.includes("warning"));
    expect(warnings).toEqual([
      'etc/config.ini:6:1: warning: [Server] conection_limit is unknown to dhtnode and ignored (did you mean "connection_limit"?)',
      'etc/config.ini:7:1: warning: section [Option_Memory] is unknown to dhtnode and ignored (did you mean "Options_Memory"?)',
    ]);
  });

  test("all missing required keys at once", async () => {
    const { problems } = await load("[Options_Memory]\n");
    for (const key of ["address", "port", "minval", "maxval"])
      expect(problems.some((problem) => problem.includes(`wanted [Server] ${key}, `))).toBe(true);
  });

  test("values that fit no key, at their place, and nothing is started", async () => {
    const { problems } = await load(
      server.replace("0x0000000000000000", "0x1").replace("10000", "port") +
        "connection_limit = many\n[LOG.Root]\nlevel = loud\n",
    );
    expect(problems).toContain(
      'etc/config.ini:4:10: hashRange.min: wanted exactly 16 hex digits, with or without 0x, got "0x1"',
    );
    expect(problems).toContain(
      "etc/config.ini:6:20: limits.connections: wanted an integer from 1 to 1000000, got many",
    );
    expect(problems).toContain(
      'etc/config.ini:8:9: log.level: wanted one of trace, info, warn, error, fatal, none, got "loud"',
    );
  });
});

test("every known key has one rule", () => {
  const exact = dhtDialect.rules.filter((rule) => !rule.section.endsWith("*"));
  for (const rule of exact)
    expect(exact.filter((other) => matches(other, rule.section, rule.key)).map(({ key }) => key)).toEqual([
      rule.key,
    ]);
  expect(dhtDialect.rules.filter(isSetting).length).toBeGreaterThan(15);
});

test("the file that a value came from is known, to rewrite it there", async () => {
  const { config } = await load(server, "[Server]\nmaxval = ffffffffffffffff\n");
  expect(config?.iniFileOf("hashRange.min")).toEndWith("/etc/config.ini");
  expect(config?.iniFileOf("hashRange.max")).toEndWith("/etc/2.ini");
  expect(config?.iniFileOf("respPort")).toBeUndefined();
});

describe("on the command line", () => {
  test("check tells the role from the sections, and prints warnings without failing", async () => {
    const directory = temporaryDirectory();
    try {
      writeFileSync(join(directory.path, "config"), `${server}prot = 1\n[Options_Memory]\n`);
      const text = await cli(["check", "config"], { cwd: directory.path });
      expect(text.code).toBe(0);
      expect(text.stdout).toContain("config:6:1: warning: [Server] prot is unknown");
      writeFileSync(join(directory.path, "bare.ini"), server);
      expect(await cli(["check", "bare.ini"], { cwd: directory.path })).toMatchObject({ code: 0 });
      const json = await cli(["check", "config", "--json"], { cwd: directory.path });
      expect(JSON.parse(json.stdout)).toMatchObject({ ok: true, notices: [{ level: "warn" }] });
      const shown = await cli(["config", "show", "--origin", "config"], { cwd: directory.path });
      expect(shown.stdout).toContain('hashRange.max\t"7fffffffffffffff"\tconfig:5:10');
    } finally {
      directory.remove();
    }
  });

  test("a file of no known program, and one for a role that replaces none, are refused", async () => {
    const directory = temporaryDirectory();
    try {
      writeFileSync(join(directory.path, "x.ini"), "[What]\nk = v\n");
      const checked = await cli(["check", "x.ini"], { cwd: directory.path });
      expect(checked.code).toBe(78);
      expect(checked.stdout).toStartWith(
        "x.ini:1:1: role: wanted a section that tells the role: [Options_Memory] (dht), ",
      );
      expect(checked.stdout).toContain("[Dht] (dhtdump), [Dump] (dhtdump)");
      expect(checked.stdout).toEndWith(", got none of them\n1 mistake in 1 file\n");
      const run = await cli(["run", "hub", "--config", "x.ini"], { cwd: directory.path });
      expect(run.code).toBe(78);
      expect(run.stderr).toContain("x.ini:1:1: wanted JSON with comments: only the files of dht, ");
    } finally {
      directory.remove();
    }
  });
});
