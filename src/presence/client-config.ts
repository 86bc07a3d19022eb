/**
 * The seed's `servers.cfg`: where a client finds the servers of a presence service. JSON with comments.
 *
 * What the file leaves out is what the registration server says of itself (version 1 when it says nothing, as the seed's
 * did). A client that must not be talked into an older protocol names it in the file. A file with the keys `standard`
 * and `combined` describes the two services of the two-database system.
 */
import { z } from "zod";
import { parseBytes } from "../core/config/parse.ts";
import { ConfigInvalidError, type Problem } from "../core/config/problem.ts";
import { NxError } from "../core/errors.ts";
import { readBounded } from "../core/secret-file.ts";
import type { ClientOptions } from "./client.ts";
import { Server, type ServerOptions } from "./client/servers.ts";
import { fromHex } from "./protocol/bytes.ts";
import type { ProtocolVersion } from "./protocol/scheme.ts";

const service = z.strictObject({
  regServer: z.string().min(1),
  lookupServers: z.array(z.string().min(1)).min(2),
  privacyLevel: z.int().min(1).optional(),
  protocol: z.union([z.literal(1), z.literal(2), z.literal(3)]).optional(),
  combined: z.boolean().optional(),
  /** The later prototype's keys. */
  epochLength: z.int().min(1).optional(),
  dataEncSize: z.int().min(17).optional(),
  payloadBytes: z.int().min(1).optional(),
  maxBuddies: z.int().min(1).optional(),
  /** The registration server's signing key. */
  serverKey: z
    .string()
    .regex(/^[0-9a-f]{64}$/)
    .optional(),
  /** PEM file with the authorities that sign the servers' certificates. */
  ca: z.string().min(1).optional(),
  tlsVerify: z.boolean().optional(),
  /** For addresses without one: https and, on loopback, http are tried when absent. */
  scheme: z.enum(["http", "https"]).optional(),
  deadlineMs: z.int().min(1).optional(),
});

export type ServiceConfig = z.output<typeof service>;

export interface ClientConfigFile {
  standard: ServiceConfig;
  /** The short-term service of the two-database system. */
  combined: ServiceConfig | undefined;
}

const PEM_BYTES_MAX = 1 << 20;
const STATUS_BYTES_MAX = 64 * 1024;

/** Throws ConfigInvalidError with every mistake and its place. */
export function parseClientConfig(file: string, bytes: Uint8Array): ClientConfigFile {
  const parsed = parseBytes(file, bytes);
  const isPair = parsed.value.standard !== undefined;
  const schema = isPair ? z.strictObject({ standard: service, combined: service }) : service;
  const problems: Problem[] = [...parsed.problems];
  const outcome = schema.safeParse(parsed.value);
  if (problems.length === 0 && !outcome.success)
    for (const issue of outcome.error.issues) {
      const path = issue.path as (string | number)[];
      const origin = parsed.originAt(parsed.valueOffset(path));
      problems.push({ origin, path, wanted: issue.message, got: parsed.source(path) ?? "nothing" });
    }
  const services = isPair ? ["standard", "combined"] : [undefined];
  for (const name of problems.length === 0 ? services : []) {
    const path = [...(name === undefined ? [] : [name]), "privacyLevel"];
    const one = (name === undefined ? parsed.value : parsed.value[name]) as ServiceConfig;
    const most = one.lookupServers.length - 1;
    if (one.privacyLevel === undefined || one.privacyLevel <= most) continue;
    const origin = parsed.originAt(parsed.valueOffset(path));
    const wanted = `an integer from 1 to ${most}, one less than there are lookupServers`;
    problems.push({ origin, path, wanted, got: String(one.privacyLevel) });
  }
  if (problems.length > 0)
    throw new ConfigInvalidError(problems, "docs/presence.md describes the client's configuration");
  const value = outcome.data as ServiceConfig | { standard: ServiceConfig; combined: ServiceConfig };
  return "standard" in value ? value : { standard: value, combined: undefined };
}

type Exchange = Pick<ClientOptions, "primitives" | "engine" | "transport">;

/** The options of a client for one service; asks the registration server for what the file leaves out. */
export async function clientOptions(
  config: ServiceConfig,
  base: Exchange,
  warn: (text: string) => void,
): Promise<ClientOptions> {
  const { scheme, ca, tlsVerify = true, deadlineMs } = config;
  const address = (text: string) =>
    scheme === undefined || /^https?:\/\//i.test(text) ? text : `${scheme}://${text}`;
  if (!tlsVerify) warn("tlsVerify is false: anybody can pass for the servers");
  const server: ServerOptions = {
    ...(base.transport !== undefined && { transport: base.transport }),
    ...(deadlineMs !== undefined && { deadlineMs }),
    tls: { isVerified: tlsVerify, ...(ca !== undefined && { ca: readBounded(ca, PEM_BYTES_MAX) }) },
  };
  const regServer = address(config.regServer);
  const told = await toldBy(regServer, server);
  const payloadBytes =
    config.payloadBytes ?? (config.dataEncSize === undefined ? undefined : config.dataEncSize - 16);
  const serverKey = config.serverKey === undefined ? undefined : fromHex(config.serverKey);
  return {
    ...base,
    ...server,
    regServer,
    lookupServers: config.lookupServers.map(address),
    ...(config.privacyLevel !== undefined && { privacyLevel: config.privacyLevel }),
    protocol: config.protocol ?? told.protocol ?? 1,
    combined: config.combined ?? told.combined ?? false,
    payloadBytes: payloadBytes ?? told.payloadBytes ?? 16,
    maxBuddies: config.maxBuddies ?? told.maxBuddies ?? 100,
    ...(serverKey !== undefined && { serverKey }),
  };
}

interface Told {
  protocol?: ProtocolVersion;
  combined?: boolean;
  payloadBytes?: number;
  maxBuddies?: number;
}

async function toldBy(regServer: string, options: ServerOptions): Promise<Told> {
  const { body } = await new Server(regServer, options).exchange("/", undefined, STATUS_BYTES_MAX);
  try {
    return JSON.parse(new TextDecoder().decode(body)) as Told;
  } catch (error) {
    throw new NxError("NX_CONNECT_FAILED", `${regServer} is not a presence server`, { cause: error });
  }
}
