/** The keys about encryption that every server of a backup group has, and what they become. */
import { z } from "zod";
import { NxError } from "../../core/errors.ts";
import { filePath, key, optionalPort, tlsKeys } from "../../core/config/schema.ts";
import { readBounded, readPrivateFile, readSecret } from "../../core/secret-file.ts";
import type { Clock } from "../../core/seams/clock.ts";
import type { Net } from "../../core/seams/net.ts";
import { loadTls } from "../../core/sockets/tls.ts";
import { securedNet } from "../wire/secured-net.ts";
import type { SecureOptions } from "./server.ts";

const PEM_BYTES_MAX = 1 << 20;

export const securityKeys = {
  securePort: optionalPort(
    "Port of the WalB protocol over TLS. Servers of ours ask for it at the plain port.",
    "no encrypted connections",
  ),
  secure: key(
    z
      .strictObject({
        ...tlsKeys,
        tokenFile: key(
          filePath().optional(),
          "File with the token that every encrypted connection must bring.",
          {
            fileKind: "secret",
            absent: "no token",
            example: "walb.token",
          },
        ),
        refusesPlain: key(
          z.boolean().default(false),
          "Plain connections may only ask for the encrypted port. Originals are locked out then.",
        ),
      })
      .optional(),
    "What securePort needs.",
    { absent: "no encrypted connections" },
  ),
  peers: key(
    z
      .strictObject({
        mode: key(
          z.enum(["required", "preferred"]).default("required"),
          "required: only encrypted connections are made. preferred: plain ones to servers that offer nothing else.",
        ),
        ca: key(filePath(), "PEM file with the authorities of the other servers' certificates.", {
          fileKind: "caBundle",
          example: "tls/ca.crt",
        }),
        cert: key(filePath().optional(), "PEM file with our certificate towards others.", {
          fileKind: "certificate",
          absent: "we show none",
          example: "tls/client.crt",
        }),
        key: key(filePath().optional(), "PEM file with its private key.", {
          fileKind: "privateKey",
          absent: "we show none",
          example: "tls/client.key",
        }),
        tokenFile: key(filePath().optional(), "File with the token that we bring.", {
          fileKind: "secret",
          absent: "no token",
          example: "walb.token",
        }),
      })
      .optional(),
    "How this server connects to others.",
    { absent: "in the clear" },
  ),
};

interface SecurityConfig {
  securePort?: number | undefined;
  secure?:
    | {
        cert: string;
        key: string;
        clientCa?: string | undefined;
        tokenFile?: string | undefined;
        refusesPlain: boolean;
      }
    | undefined;
  peers?:
    | {
        mode: "required" | "preferred";
        ca: string;
        cert?: string | undefined;
        key?: string | undefined;
        tokenFile?: string | undefined;
      }
    | undefined;
}

/** What the listener needs; undefined when none is wanted. Throws what is wrong with the files. */
export function secureOptionsOf(
  { securePort, secure }: SecurityConfig,
  nowMs: number,
): SecureOptions | undefined {
  if ((securePort === undefined) !== (secure === undefined))
    throw new NxError("NX_CONFIG_INVALID", "securePort and secure belong together: one of them is missing");
  const tls = loadTls(secure, nowMs);
  if (securePort === undefined || secure === undefined || tls === undefined) return undefined;
  const token = secure.tokenFile === undefined ? undefined : readSecret("secure.tokenFile", secure.tokenFile);
  return { port: securePort, tls, token, refusesPlain: secure.refusesPlain };
}

/** The network as this server's connections to others go through it. */
export function peerNet(net: Net, clock: Clock, { peers }: SecurityConfig): Net {
  if (peers === undefined) return net;
  const { mode, ca, cert, key: keyFile, tokenFile } = peers;
  return securedNet(net, clock, {
    mode,
    ca: readBounded(ca, PEM_BYTES_MAX),
    cert: cert === undefined ? undefined : readBounded(cert, PEM_BYTES_MAX),
    key: keyFile === undefined ? undefined : readPrivateFile(keyFile, PEM_BYTES_MAX),
    token: tokenFile === undefined ? undefined : readSecret("peers.tokenFile", tokenFile),
  });
}
