/** INFO: the node's state as sections of `name:value` lines, under the names that Redis' tools look for. */
import type { AdminCall, InfoSection, RespHost } from "./host.ts";
import type { ReplyWriter } from "./reply.ts";

/** The Redis version whose commands, replies and errors the engine follows; clients choose features by it. */
export const compatibleVersion = "7.0.15";

type Fields = InfoSection["fields"];

function serverSection(host: RespHost): Fields {
  const uptimeSeconds = Math.floor((host.clock.nowMs() - host.startedAtMs) / 1000);
  return {
    redis_version: compatibleVersion,
    node_x_version: host.version,
    redis_mode: "standalone",
    arch_bits: 64,
    process_id: host.processId,
    run_id: host.runId,
    tcp_port: host.port(),
    server_time_usec: Math.floor(host.clock.nowMs() * 1000),
    uptime_in_seconds: uptimeSeconds,
    uptime_in_days: Math.floor(uptimeSeconds / 86_400),
    config_file: host.configFile,
  };
}

function commandSection(host: RespHost): Fields {
  const used = host.engine.commands().filter(({ calls, rejected }) => calls + rejected > 0);
  return Object.fromEntries(
    used.map(({ name, calls, rejected, failed }) => [
      `cmdstat_${name}`,
      `calls=${calls},rejected_calls=${rejected},failed_calls=${failed}`,
    ]),
  );
}

/** Channels 0 to 15 under the names of databases, the others under their own. */
function keyspaceSection(host: RespHost): Fields {
  const label = (name: string) => (/^(\d|1[0-5])$/.test(name) ? `db${name}` : `channel_${name}`);
  const channels = host.engine
    .channels()
    .map(({ name, records }) => [label(name), `keys=${records}`] as const);
  return Object.fromEntries(channels.sort(([a], [b]) => (a < b ? -1 : 1)));
}

const defaultSections = [
  "server",
  "clients",
  "memory",
  "persistence",
  "stats",
  "replication",
  "cluster",
  "keyspace",
];
const extraSections = ["commandstats"];

function build(host: RespHost, name: string): Fields {
  const statistics = host.engine.statistics();
  switch (name) {
    case "server":
      return serverSection(host);
    case "clients":
      return { connected_clients: statistics.connections, clients_input_bytes: statistics.inputBytes };
    case "stats":
      return {
        total_commands_processed: statistics.commandsTotal,
        keyspace_hits: statistics.keyspaceHits,
        keyspace_misses: statistics.keyspaceMisses,
        total_error_replies: statistics.errorsTotal,
        watched_keys: statistics.watchedKeys,
      };
    case "replication":
      return { role: "master", connected_slaves: 0 };
    case "cluster":
      return { cluster_enabled: 0 };
    case "commandstats":
      return commandSection(host);
    case "keyspace":
      return keyspaceSection(host);
    default:
      return {};
  }
}

function sectionNames(asked: string[], ofRole: InfoSection[]): string[] {
  const others = ofRole.map(({ name }) => name).filter((name) => !defaultSections.includes(name));
  const wide = [...defaultSections, ...extraSections, ...others];
  if (asked.length === 0) return defaultSections;
  const wanted = new Set<string>();
  for (const word of asked) {
    const names =
      word === "all" || word === "everything" ? wide : word === "default" ? defaultSections : [word];
    for (const name of names) wanted.add(name);
  }
  return wide.filter((name) => wanted.has(name));
}

/** The text of INFO with the named sections; none named: the default ones. */
export function infoText(host: RespHost, asked: string[]): string {
  const ofRole = host.info();
  const sections = sectionNames(asked, ofRole).map((name) => {
    const fields = { ...build(host, name) };
    for (const section of ofRole) if (section.name === name) Object.assign(fields, section.fields);
    const lines = Object.entries(fields).map(([field, value]) => `${field}:${value}\r\n`);
    return `# ${(name[0] ?? "").toUpperCase()}${name.slice(1)}\r\n${lines.join("")}`;
  });
  return sections.join("\r\n");
}

export function infoCommand({ host, words }: AdminCall, reply: ReplyWriter): void {
  const asked = words.slice(1).map((word) => word.toString().toLowerCase());
  reply.verbatim(infoText(host, asked));
}
