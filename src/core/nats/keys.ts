/** Configuration keys of a connection to NATS servers, the same in every role that has one. Only declarations. */
import { z } from "zod";
import { filePath, key } from "../config/schema.ts";

const server = () =>
  z
    .string()
    .regex(/^(\[[0-9A-Fa-f:]+\]|[A-Za-z0-9._-]+):\d{1,5}$/)
    .meta({ wanted: "HOST:PORT" });

const tls = z.strictObject({
  ca: key(filePath().optional(), "PEM file with the authorities that the servers' certificates must be of.", {
    fileKind: "caBundle",
    absent: "the system's authorities",
    example: "tls/nats-ca.crt",
  }),
  cert: key(filePath().optional(), "PEM file with the certificate shown to the servers.", {
    fileKind: "certificate",
    absent: "none is shown",
    example: "tls/nats-client.crt",
  }),
  key: key(
    filePath().optional(),
    "PEM file with the private key of that certificate. Must not be readable by other users.",
    { fileKind: "privateKey", absent: "none is shown", example: "tls/nats-client.key" },
  ),
});

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
  tls: key(tls.optional(), "TLS to the servers.", { absent: "plain TCP, unless a server demands TLS" }),
};

const settings = z.strictObject(natsKeys);
export type NatsSettings = z.output<typeof settings>;
