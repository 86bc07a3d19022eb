/** The keys of TLS to servers that are not ours (etcd, NATS): whom to believe, and what to show them. Only declarations. */
import { z } from "zod";
import { type CrossCheck, filePath, key } from "./schema.ts";

/** `name` stands before the example files' names: `nats` for `tls/nats-ca.crt`. */
export function clientTls(name: string) {
  return z.strictObject({
    ca: key(
      filePath().optional(),
      "PEM file with the authorities that the servers' certificates must be of.",
      {
        fileKind: "caBundle",
        absent: "those that this host trusts",
        example: `tls/${name}-ca.crt`,
      },
    ),
    cert: key(filePath().optional(), "PEM file with the certificate to show, where the servers demand one.", {
      fileKind: "certificate",
      absent: "none is shown",
      example: `tls/${name}-client.crt`,
    }),
    key: key(filePath().optional(), "PEM file with its private key. Must not be readable by other users.", {
      fileKind: "privateKey",
      absent: "only together with cert",
      example: `tls/${name}-client.key`,
    }),
  });
}

/** A certificate is shown with its key, or not at all. `path` is where the keys are. */
export function certificateWithKey(path: readonly string[]): CrossCheck {
  return {
    path: [...path, "key"],
    wanted: "cert and key, or neither",
    holds(value) {
      const tls = path.reduce<unknown>(
        (group, name) => (group as Record<string, unknown> | undefined)?.[name],
        value,
      );
      const { cert, key: privateKey } = (tls ?? {}) as { cert?: string; key?: string };
      return (cert === undefined) === (privateKey === undefined);
    },
  };
}
