/**
 * The INI keys that the original channel programs share: dhtnode, logfilesnode (dlsnode) and queuenode (dmqnode), in both
 * of their generations. Each program's dialect adds its own.
 */
import { resolve } from "node:path";
import type { Converted, ConvertContext, IniRule } from "../core/config/ini/dialect.ts";
import { absolutePath, boolean, integer, oneOf, secondsAsMs, text } from "../core/config/ini/values.ts";

/** 0 meant "at once"; a millisecond is as soon as a timer comes. */
const atLeastOne = (value: string): Converted => integer(value === "0" ? "1" : value);

export const serverRules: readonly IniRule[] = [
  { section: "Server", key: "address", to: "host", convert: text, required: "the address to listen on" },
  { section: "Server", key: "port", to: "port", convert: integer, required: "the port to listen on" },
  { section: "Server", key: "data_dir", to: "dataDir", convert: text },
  { section: "Server", key: "connection_limit", to: "limits.connections", convert: integer },
  { section: "Server", key: "backlog", to: "swarm.backlog", convert: integer },
  { section: "Server", key: "unix_socket_path", to: "commandSocket.path", convert: absolutePath },
  { section: "Server", key: "neoport", to: "neoPort", convert: integer },
  { section: "Server", key: "cpu", note: "pin the process from outside: taskset, or CPUAffinity= of its unit" },
  { section: "Performance", key: "write_flush_ms", to: "swarm.writeFlushMs", convert: atLeastOne },
  { section: "Performance", key: "no_delay", note: "TCP_NODELAY is always set" },
]; // prettier-ignore

const VERSION_LOG = "log/version.log";

function versionFile(value: string, { workingDirectory }: ConvertContext): Converted {
  return boolean(resolve(workingDirectory, VERSION_LOG), null)(value);
}

const levels = oneOf({
  trace: "trace",
  info: "info",
  warn: "warn",
  error: "error",
  fatal: "fatal",
  none: "fatal",
});
const oneLog = "there is one log, [LOG.Root]; its lines name the part that wrote them";
const collectd = "figures for collectors are at /metrics of the admin endpoint";

/** Both logs of ours share size and number of files: of the keys that set the same, the last one here counts. */
export const logRules: readonly IniRule[] = [
  { section: "Stats", key: "logfile", to: "log.statsFile", convert: absolutePath },
  { section: "Stats", key: "file_count", to: "log.filesMax", convert: integer },
  { section: "Stats", key: "max_file_size", to: "log.fileBytesMax", convert: integer },
  { section: "STATS", key: "file_name", to: "log.statsFile", convert: absolutePath },
  { section: "STATS", key: "interval", to: "log.statsPeriodMs", convert: secondsAsMs },
  { section: "STATS", key: "socket_path", note: collectd },
  { section: "STATS", key: "hostname", note: collectd },
  { section: "STATS", key: "app_name", note: collectd },
  { section: "STATS", key: "app_instance", note: collectd },
  { section: "STATS", key: "default_type", note: collectd },
  { section: "LOG", key: "file_count", to: "log.filesMax", convert: integer },
  { section: "LOG", key: "max_file_size", to: "log.fileBytesMax", convert: integer },
  { section: "LOG", key: "buffer_size", note: "each line is written at once" },
  { section: "LOG.Root", key: "level", to: "log.level", convert: levels },
  { section: "LOG.Root", key: "file", to: "log.file", convert: absolutePath },
  { section: "LOG.Root", key: "console", to: "log.console", convert: boolean("text", "off") },
  { section: "Stats", key: "console_stats_enabled", to: "log.console", convert: boolean("line", undefined), isWider: true },
  { section: "LOG.Root", key: "propagate", note: oneLog },
  { section: "LOG.*", key: "level", note: oneLog },
  { section: "LOG.*", key: "file", note: oneLog },
  { section: "LOG.*", key: "console", note: oneLog },
  { section: "LOG.*", key: "propagate", note: oneLog },
  { section: "LOG.*", key: "additive", note: oneLog },
  { section: "PidLock", key: "path", to: "pidFile", convert: absolutePath },
  { section: "VERSION", key: "default_version_log", to: "log.versionFile", convert: versionFile },
  { section: "UNIX_SOCKET", key: "path", to: "logSocket.path", convert: absolutePath },
  { section: "UNIX_SOCKET", key: "mode", to: "logSocket.mode", convert: text },
]; // prettier-ignore

/** Where the originals keep data and logs: relative to the working directory. */
export function sharedDefaults({ workingDirectory }: ConvertContext): Record<string, unknown> {
  return {
    dataDir: "data",
    "log.file": resolve(workingDirectory, "log/root.log"),
    "log.statsFile": resolve(workingDirectory, "log/stats.log"),
    "log.versionFile": resolve(workingDirectory, VERSION_LOG),
  };
}

/** The neo protocol's credentials, where the originals look for them; without that file it is not spoken. */
export function neoDefaults({ workingDirectory, hasFile }: ConvertContext): Record<string, unknown> {
  const path = resolve(workingDirectory, "etc/credentials");
  return hasFile(path) ? { "neo.credentialsFile": path } : {};
}
