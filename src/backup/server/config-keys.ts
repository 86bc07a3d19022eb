/** The keys that every server of a backup group has. The letters in brackets are the original programs' options. */
import { z } from "zod";
import { integer, key } from "../../core/config/schema.ts";
import { securityKeys } from "./security-keys.ts";

interface ServerWords {
  role: "archive" | "proxy" | "storage";
  example: string;
  /** What its directory holds. */
  holds: string;
  /** What counts as long work. */
  foreground: string;
}

export const serverKeys = ({ role, example, holds, foreground }: ServerWords) => ({
  nodeId: key(
    z
      .string()
      .regex(/^[A-Za-z0-9._-]{1,64}$/)
      .optional(),
    `The name by which this ${role} answers (-id).`,
    { absent: "the instance's name", example },
  ),
  baseDir: key(z.string().min(1).default(role), `The directory of ${holds} (-b), relative to dataDir.`),
  connectionsMax: key(
    integer(10, { min: 1, max: 10_000 }),
    "Connections of the WalB protocol at once (-maxconn); further ones are closed.",
  ),
  foregroundMax: key(
    integer(2, { min: 1, max: 1000 }),
    `${foreground} at once (-fg). Further ones are refused.`,
  ),
  socketTimeoutMs: key(
    integer(10_000, { min: 100, max: 3_600_000 }),
    "A peer that is silent for this long in the middle of a protocol is cut (-to).",
  ),
  keepAlive: key(
    z
      .strictObject({
        idleSeconds: key(integer(1800, { min: 1, max: 86_400 }), "Silence before the first probe (-kaidle)."),
        intervalSeconds: key(integer(60, { min: 1, max: 86_400 }), "Between probes (-kaintvl)."),
        probes: key(integer(10, { min: 1, max: 1000 }), "Probes that may stay unanswered (-kacnt)."),
      })
      .optional(),
    "The kernel probes peers that are silent (-ka).",
    { absent: "as the runtime does" },
  ),
  allowsExec: key(
    z.boolean().default(false),
    "Programs are run for the controller's exec (-allow-exec): by anybody who reaches the port, as the user of this process.",
  ),
  ...securityKeys,
});
