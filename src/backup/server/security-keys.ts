/** The keys about encryption that every server of a backup group has. Only declarations. */
import { z } from "zod";
import { filePath, key, optionalPort, tlsKeys } from "../../core/config/schema.ts";

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
          "With required only encrypted connections are made, with preferred plain ones, too, to servers that offer nothing else.",
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
