/**
 * The configuration of the regserver and lookup roles, and what they say of themselves. Only declarations.
 *
 * Both roles are one server with one schema; the role decides what it is by default, and one process may be both.
 */
import { z } from "zod";
import { reloadableKeys } from "../../core/config/keys.ts";
import {
  crossCheck,
  type CrossCheck,
  filePath,
  integer,
  key,
  limits,
  port,
  roleSchema,
} from "../../core/config/schema.ts";
import type { RoleAbout } from "../../core/role.ts";
import { presenceDialect } from "./dialect.ts";

const MEBIBYTE = 1024 * 1024;
const GIBIBYTE = 1024 * MEBIBYTE;

interface RoleDefaults {
  port: number;
  isRegServer: boolean;
  isLookupServer: boolean;
}

function presenceKeys(defaults: RoleDefaults) {
  return roleSchema({
    port: port(defaults.port, "Port of the presence protocol (HTTP, or HTTPS with `tls`)."),
    isRegServer: key(
      z.boolean().default(defaults.isRegServer),
      "Takes registrations and makes each epoch's database of them.",
    ),
    isLookupServer: key(
      z.boolean().default(defaults.isLookupServer),
      "Answers lookups. Without isRegServer it fetches the databases from regServer.",
    ),
    protocol: key(
      z.union([z.literal(1), z.literal(2), z.literal(3)]).default(3),
      "Version of the protocol. 1 is the first prototype's, 2 the later one's; only 3 authenticates what servers say.",
    ),
    combined: key(
      z.boolean().default(false),
      "One signed record per user instead of one for each friend (protocol 3).",
    ),
    batchCodes: key(
      z.boolean().default(false),
      "Lays the database out in many small tables, so that a lookup costs a fraction (protocol 3).",
    ),
    payloadBytes: key(
      integer(16, { min: 1, max: 4096 }),
      "Length of the status that users give. Protocol 1 knows 16 only.",
    ),
    maxBuddies: key(
      integer(100, { min: 1, max: 1000 }),
      "Friends that every user registers and looks up, real or not. Protocols 1 and 2 know 100 only.",
    ),
    epochSeconds: key(
      integer(1800, { min: 1, max: 31 * 24 * 3600 }),
      "Length of an epoch; registrations become visible in the next one.",
    ),
    registrationsDir: key(
      z.string().min(1).optional(),
      "Directory for the registrations of the next epoch, relative to the working directory.",
      { absent: "<dataDir>/registrations", example: "registrations" },
    ),
    signingKeyFile: key(
      filePath().optional(),
      "File with the 32-byte key (64 hex digits) that signs the metadata. Must not be readable by other users.",
      {
        fileKind: "secret",
        absent: "<dataDir>/signing.key, made at the first start",
        example: "signing.key",
      },
    ),
    regServer: key(
      z.string().min(1).default("localhost:8443"),
      "Address of the registration server, for lookup servers. Without a scheme https is tried, then, on loopback, http.",
    ),
    regServerCa: key(
      filePath().optional(),
      "PEM file with the authorities that sign the registration server's certificate.",
      { fileKind: "caBundle", absent: "the host's own authorities", example: "tls/ca.crt" },
    ),
    regServerKey: key(
      z
        .string()
        .regex(/^[0-9a-f]{64}$/)
        .meta({ wanted: "64 lower-case hex digits" })
        .optional(),
      "The registration server's signing key; databases signed by another one are refused (protocol 3).",
      { absent: "any signer is accepted", example: "0".repeat(64) },
    ),
    tlsVerify: key(
      z.boolean().default(true),
      "Checks the registration server's certificate. false is for tests.",
    ),
    retainEpochs: key(
      integer(2, { min: 1, max: 1000 }),
      "Databases that are kept, the current one included.",
    ),
    pirThreads: key(
      integer(0, { min: 0, max: 256 }),
      "Threads that scan databases. 0 takes one for each processor, at most 8.",
    ),
    debug: key(
      z.boolean().default(false),
      "Lets GET /debugfastforward, from this host only, begin the next epoch at once. For tests.",
    ),
    limits: limits({
      requestBytesMax: key(
        integer(64 * MEBIBYTE, { min: 64 * 1024, max: GIBIBYTE }),
        "The longest lookup. A longer one is answered 413.",
      ),
      registrationsBytesMax: key(
        integer(2 * GIBIBYTE, { min: MEBIBYTE }),
        "Records that one epoch may gather. Past this, registrations are answered 503.",
      ),
      lookupsWaitingMax: key(
        integer(1000, { min: 1, max: 100_000 }),
        "Lookups that may wait for a thread. Past this they are answered 503.",
      ),
    }),
  });
}

export type PresenceConfig = z.output<ReturnType<typeof presenceKeys>>;

/** A condition between keys of a presence server. */
function condition(path: string, wanted: string, holds: (config: PresenceConfig) => boolean): CrossCheck {
  return { path: [path], wanted, holds: (value) => holds(value as PresenceConfig) };
}

const conditions = [
  condition(
    "isRegServer",
    "true, or isLookupServer: true",
    (config) => config.isRegServer || config.isLookupServer,
  ),
  condition(
    "combined",
    "false, or protocol 3: the pairings of the original's combined mode are not spoken",
    (config) => !config.combined || config.protocol === 3,
  ),
  condition("batchCodes", "false, or protocol 3", (config) => !config.batchCodes || config.protocol === 3),
  condition(
    "payloadBytes",
    "16 with protocol 1",
    (config) => config.protocol !== 1 || config.payloadBytes === 16,
  ),
  condition(
    "maxBuddies",
    "100 with protocols 1 and 2",
    (config) => config.protocol === 3 || config.maxBuddies === 100,
  ),
];

const presenceSchema = (defaults: RoleDefaults) =>
  conditions.reduce((schema, check) => crossCheck(schema, check), presenceKeys(defaults));

export const regserverConfig = presenceSchema({ port: 8443, isRegServer: true, isLookupServer: false });
export const lookupConfig = presenceSchema({ port: 8444, isRegServer: false, isLookupServer: true });

export const regserverAbout: RoleAbout<typeof regserverConfig> = {
  name: "regserver",
  summary: "Private presence: takes registrations and publishes each epoch's database",
  durability: "an acknowledged registration survives power loss until its epoch is over",
  config: regserverConfig,
  reloadable: reloadableKeys(regserverConfig),
  reach: { port: "http://{host}:{port}/" },
  json: presenceDialect,
};

export const lookupAbout: RoleAbout<typeof lookupConfig> = {
  name: "lookup",
  summary: "Private presence: answers who is online without learning who was asked for",
  durability: "keeps copies of public databases only",
  config: lookupConfig,
  reloadable: reloadableKeys(lookupConfig),
  reach: { port: "http://{host}:{port}/" },
  json: presenceDialect,
};
