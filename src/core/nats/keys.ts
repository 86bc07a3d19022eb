/** Configuration keys of a connection to NATS servers, the same in every role that has one. Only declarations. */
import { z } from "zod";
import { certificateWithKey, clientTls } from "../config/client-tls.ts";
import { type CrossCheck, filePath, isLoopback, key } from "../config/schema.ts";

const server = () =>
  z
    .string()
    .regex(/^(\[[0-9A-Fa-f:]+\]|[A-Za-z0-9._-]+):\d{1,5}$/)
    .meta({ wanted: "HOST:PORT" });

export const natsKeys = {
  servers: key(
    z.array(server()).min(1).max(64).default(["127.0.0.1:4222"]),
    "Servers to begin with, as HOST:PORT; the others of their cluster are found through them.",
  ),
  credentialsFile: key(
    filePath().optional(),
    "Credentials file (.creds: a JWT and its seed). Read at each connect. Must not be readable by other users.",
    { fileKind: "secrets", absent: "no JWT is shown", example: "nats.creds" },
  ),
  userFile: key(
    filePath().optional(),
    "File with one line, USER:PASSWORD. Read at each connect. Must not be readable by other users.",
    { fileKind: "secret", absent: "no user is named", example: "nats.user" },
  ),
  tokenFile: key(
    filePath().optional(),
    "File with the token. Read at each connect. Must not be readable by other users.",
    { fileKind: "secret", absent: "no token is shown", example: "nats.token" },
  ),
  tls: key(clientTls("nats").optional(), "TLS to the servers.", {
    absent: "plain TCP, unless a server demands TLS",
  }),
};

const settings = z.strictObject(natsKeys);
export type NatsSettings = z.output<typeof settings>;

const secretFiles = ["credentialsFile", "userFile", "tokenFile"] as const;

/** What has to hold between these keys, where a role has them under `path`. */
export function natsChecks(path: readonly string[]): CrossCheck[] {
  const at = (value: unknown) =>
    path.reduce<unknown>((group, name) => (group as Record<string, unknown> | undefined)?.[name], value) as
      Partial<NatsSettings> | undefined;
  return [
    {
      path: [...path, "credentialsFile"],
      wanted: "one of credentialsFile, userFile and tokenFile",
      holds: (value) => secretFiles.filter((name) => at(value)?.[name] !== undefined).length <= 1,
    },
    {
      path: [...path, "servers"],
      wanted: "servers of this host, or tls beside them, where a password or token is sent",
      holds(value) {
        const { servers = [], userFile, tokenFile, tls } = at(value) ?? {};
        if ((userFile ?? tokenFile) === undefined || tls !== undefined) return true;
        return servers.every((each) => isLoopback(each.replace(/:\d+$/, "").replace(/^\[|\]$/g, "")));
      },
    },
    {
      path: [...path, "servers"],
      wanted: "each server once",
      holds: (value) => new Set(at(value)?.servers).size === (at(value)?.servers?.length ?? 0),
    },
    certificateWithKey([...path, "tls"]),
  ];
}
