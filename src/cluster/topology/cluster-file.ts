/**
 * `prefix.cluster.json`: what the instances' own files do not say. Which hosts there are and how to reach them, which
 * instance runs where, how carefully instances are replaced. All of it is optional, and so is the file.
 *
 * It is read like any configuration: every mistake at once, each with file, line and column.
 */
import { z } from "zod";
import { Origins } from "../../core/config/origin.ts";
import { parseBytes, type ParsedText } from "../../core/config/parse.ts";
import type { Problem } from "../../core/config/problem.ts";
import { filePath, integer, key } from "../../core/config/schema.ts";
import { validate } from "../../core/config/validate.ts";

const MINUTE_MS = 60_000;

const name = (pattern: RegExp, wanted: string) => z.string().regex(pattern).meta({ wanted });
const address = () => name(/^[A-Za-z0-9._:][A-Za-z0-9._:%-]{0,254}$/, "a host name or an IP address");
/** Goes to ssh as a word of its own: what starts with a dash would be an option. */
const sshWord = () =>
  name(/^[A-Za-z0-9._@:[\]%,][A-Za-z0-9._@:[\]%,-]{0,255}$/, "a name or an address, without blanks");
const absolutePath = () => name(/^\/[^\0\n]*$/, "an absolute path");

const rolloutKeys = {
  unavailableMax: key(
    z.union([z.int().min(1), z.string().regex(/^([1-9]\d?|100)%$/)]).optional().meta({ wanted: 'a number of at least 1, or a share such as "25%"' }),
    "Instances of one role that may be down at once. A replicated group never loses its majority, whatever stands here.",
    { absent: "25%, rounded up", example: "25%" },
  ),
  healthyForMs: key(z.int().min(0).max(60 * MINUTE_MS).optional(), "An instance that was replaced must stay ready this long before the next one follows.", { absent: "1000", example: 1000 }),
  readyTimeoutMs: key(z.int().min(100).max(24 * 60 * MINUTE_MS).optional(), "An instance that is not ready this long after its start has failed.", { absent: "60000", example: 60_000 }),
  stopTimeoutMs: key(z.int().min(0).max(60 * MINUTE_MS).optional(), "An instance that has not ended this long after it was asked to is killed.", { absent: "its own shutdownTimeoutMs and 5 s", example: 35_000 }),
}; // prettier-ignore

const rollout = () => z.strictObject(rolloutKeys).optional();

const sshKeys = {
  host: key(sshWord().optional(), "What ssh connects to: an address, or a name of ~/.ssh/config.", { absent: "address.public, address.private or the host's name", example: "db1.example.org" }),
  user: key(sshWord().optional(), "The user to log in as.", { absent: "what ssh_config says", example: "deploy" }),
  port: key(integer(22, { min: 1, max: 65535 }).optional(), "The port of the ssh server.", { absent: "what ssh_config says", example: 22 }),
  key: key(filePath().optional(), "The private key to log in with; ~ is the home directory.", { absent: "the agent's and the default keys", example: "~/.ssh/id_ed25519" }),
  jump: key(sshWord().optional(), "A host to go through (ProxyJump).", { absent: "straight", example: "bastion.example.org" }),
}; // prettier-ignore

const hostKeys = {
  ssh: key(z.strictObject(sshKeys).optional(), "How ssh reaches the host. Present: ssh is used, also for a loopback address.", { absent: "ssh without options; loopback addresses without ssh" }),
  address: key(
    z.strictObject({
      public: key(address().optional(), "How it is reached from outside.", { example: "203.0.113.7" }),
      private: key(address().optional(), "How the instances reach each other.", { example: "10.0.0.7" }),
    }).optional(),
    "Instances whose `host` is one of these run here.",
  ),
  workingDirectory: key(absolutePath().optional(), "The directory on the host for releases and data.", { absent: "the cluster's workingDirectory" }),
  tags: key(z.array(name(/^[A-Za-z0-9._-]{1,64}$/, "1 to 64 letters, digits, dots, dashes or underscores")).optional(), "Words to select hosts by: `--only @rack1`.", { example: ["rack1"] }),
  hostKeys: key(
    z.array(name(/^(SHA256:[A-Za-z0-9+/]{43}|[a-z0-9@.-]+ [A-Za-z0-9+/]{16,}={0,3})$/, "SHA256:… as ssh shows it, or a key as in known_hosts")).optional(),
    "The only keys that the host may show.",
    { absent: "~/.ssh/known_hosts decides", example: ["SHA256:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU"] },
  ),
  rollout: key(rollout(), "How instances on this host are replaced."),
}; // prettier-ignore

const hostName = () => name(/^[A-Za-z0-9._:][A-Za-z0-9._:-]{0,252}$/, "a host's name");
const shortName = () => name(/^[a-z]+\d*(\.\d+)?$/, "an instance such as dht0 or shard0.1");

export const clusterFileSchema = z.strictObject({
  workingDirectory: key(absolutePath().optional(), "The directory on every host for releases and data.", { absent: "DIAMOND_WORKING_DIR, else /var/lib/node-x (the current directory for hosts without ssh)" }),
  hosts: key(z.record(hostName(), z.strictObject(hostKeys)).prefault({}), "The hosts by name. A host without an entry is reached by the address that the instances name."),
  placement: key(z.record(shortName(), hostName()).prefault({}), "Which host an instance runs on, where its own address does not say it: `{ \"dht0\": \"a\" }`."),
  rollout: key(rollout(), "How instances are replaced."),
  roles: key(z.record(name(/^[a-z]+$/, "a role"), z.strictObject({ rollout: rollout() })).prefault({}), "What holds for all instances of a role; wins over the host's."),
}); // prettier-ignore

export type ClusterFile = z.output<typeof clusterFileSchema>;
export type HostEntry = ClusterFile["hosts"][string];
export type RolloutKeys = NonNullable<ClusterFile["rollout"]>;

export interface ReadClusterFile {
  /** Undefined when there are problems. */
  value: ClusterFile | undefined;
  text: ParsedText;
  problems: Problem[];
}

/** Reads the bytes of one file. Never throws. */
export function readClusterFile(file: string, bytes: Uint8Array): ReadClusterFile {
  const text = parseBytes(file, bytes);
  if (text.problems.length > 0) return { value: undefined, text, problems: text.problems };
  const { $schema: _, ...value } = text.value;
  const draft = { role: "cluster", schema: clusterFileSchema, value, origins: new Origins(), problems: [] };
  draft.origins.setAll([], value, (path) => text.originAt(text.valueOffset(path)));
  return { value: validate(clusterFileSchema, draft, text), text, problems: draft.problems };
}

export const emptyClusterFile: ClusterFile = { hosts: {}, placement: {}, roles: {} };
