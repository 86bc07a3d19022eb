/** Configuration keys that mean the same in every role of this family. */
import { z } from "zod";
import { filePath, group, integer, key } from "../core/config/schema.ts";

const KIBIBYTE = 1024;
const MEBIBYTE = 1024 * KIBIBYTE;

export const respPort = (defaultPort: number) =>
  key(
    z.int().min(0).max(65535).nullable().default(defaultPort),
    "Port of the Redis protocol (RESP2 and RESP3). 0 takes a free port; <dataDir>/ports.json tells which. null: it is not spoken.",
  );

export const passwordFile = key(
  filePath().optional(),
  "File with the password that clients must give with AUTH. Must not be readable by other users.",
  {
    fileKind: "secret",
    absent: "clients need no password",
    example: "redis.password",
  },
);

export const nodesCa = key(
  filePath().optional(),
  "PEM file with the authorities that sign other nodes' certificates. This node calls them with TLS then, and shows its own certificate.",
  {
    fileKind: "caBundle",
    absent: "other nodes are called without TLS",
    example: "tls/ca.crt",
  },
);

export const compaction = key(
  group({
    logBytesMin: key(
      integer(64 * MEBIBYTE, { min: 64 * KIBIBYTE }),
      "The log is not compacted while it is shorter than this.",
    ),
    growthPercent: key(
      integer(100, { min: 10, max: 10_000 }),
      "The log is compacted into a snapshot when it outgrows the last snapshot by this much.",
    ),
  }),
  "When the append log is rewritten as a snapshot. Service goes on meanwhile.",
);

export const neo = key(
  group({
    credentialsFile: key(
      filePath().optional(),
      "File with a line name:hex for each client of the neo protocol, 256 hex digits of its secret. Read again on SIGHUP. Must not be readable by other users.",
      {
        fileKind: "secrets",
        absent: "the neo protocol is not spoken",
        example: "etc/credentials",
        isReloadable: true,
      },
    ),
  }),
  "The neo protocol's own settings.",
);

/** A unix socket for lines of text (core/sockets/text-socket.ts). */
const unixSocket = (commands: string) =>
  key(
    group({
      path: key(
        z.string().min(1).optional().meta({ wanted: "the path of a socket" }),
        `The unix socket, relative to dataDir. It takes lines of text: ${commands}.`,
        { absent: "there is no such socket", example: "node.socket" },
      ),
      mode: key(
        z
          .string()
          .regex(/^0?[0-7]{3}$/)
          .default("0600")
          .meta({ wanted: 'three octal digits such as "0660"' }),
        "Who may connect: the mode of the socket's file, in octal digits.",
      ),
    }),
    "A unix socket for text, as the original nodes have it.",
  );

export const commandSocket = unixSocket(
  "update-credentials, list-credentials, reopen_files, show_version and help",
);
export const logSocket = unixSocket("reopen_files, show_version and help");
