/**
 * The configuration keys of every replicated role: who the replicas are, how they talk, when one is given up.
 */
import { z } from "zod";
import { parseAddress } from "../core/config/group-file.ts";
import { crossCheck, filePath, integer, key, type CrossCheck } from "../core/config/schema.ts";

const MEBIBYTE = 1024 * 1024;
const MINUTE_MS = 60_000;

/** `role`: whose addresses these are, for those who read a cluster as a whole. */
export function replicasKey(role: string, alone = "127.0.0.1:12348") {
  return key(
    z
      .array(
        z
          .string()
          .refine((text) => typeof parseAddress(text) !== "string")
          .meta({ wanted: "an address and a port, such as host0:12348" }),
      )
      .min(1)
      .max(255)
      .default([alone]),
    "Addresses of all replicas of the group, as they reach each other; the position is the replica's number. The same at all replicas, in the same order, for the life of the group. An odd number: 3 survive one failure, 5 two, 1 none.",
    { peerOf: [role] },
  );
}

export const groupKeys = {
  replica: key(integer(0, { min: 0, max: 254 }), "Which of `replicas` this instance is, from 0."),
  peerCa: key(
    filePath().optional(),
    "PEM file with the authorities that sign the other replicas' certificates. With it replicas call each other with TLS, showing the pair of `tls`.",
    { fileKind: "caBundle", absent: "replicas call each other without TLS", example: "tls/ca.crt" },
  ),
  tokenFile: key(
    filePath().optional(),
    "File with the token that clients and replicas must show; the same for all replicas. Must not be readable by other users.",
    { fileKind: "secret", absent: "no token is wanted", example: "group.token" },
  ),
  heartbeatMs: key(
    integer(50, { min: 5, max: MINUTE_MS }),
    "The primary is heard at least this often by the other replicas.",
  ),
  electionMsMin: key(
    integer(300, { min: 50, max: 10 * MINUTE_MS }),
    "A replica that hears no primary for a random time from this to electionMsMax asks for another one. Several heartbeats, and longer than a slow sync.",
  ),
  electionMsMax: key(integer(600, { min: 50, max: 10 * MINUTE_MS }), "See electionMsMin."),
  journalBytesMin: key(
    integer(64 * MEBIBYTE, { min: 64 * 1024 }),
    "The journal is replaced by a snapshot when it has outgrown this and twice the last snapshot.",
  ),
};

/** The lease that backups give to the primary: shorter than the shortest wait for another one. */
export function leaseMsOf(electionMsMin: number): number {
  return Math.floor((electionMsMin * 5) / 6);
}

interface GroupValues {
  replica: number;
  replicas: string[];
  heartbeatMs: number;
  electionMsMin: number;
  electionMsMax: number;
  tls?: unknown;
  peerCa?: string;
}

const checks: { path: string[]; wanted: string; holds(value: GroupValues): boolean }[] = [
  {
    path: ["replica"],
    wanted: "a position in `replicas`, from 0",
    holds: ({ replica, replicas }) => replica < replicas.length,
  },
  {
    path: ["electionMsMin"],
    wanted: "at least three heartbeats, and no more than electionMsMax",
    holds: ({ heartbeatMs, electionMsMin, electionMsMax }) =>
      3 * heartbeatMs <= electionMsMin && electionMsMin <= electionMsMax,
  },
  {
    path: ["peerCa"],
    wanted: "the authority of the other replicas, because with `tls` they are called with TLS",
    holds: ({ tls, peerCa, replicas }) => tls === undefined || peerCa !== undefined || replicas.length === 1,
  },
];

/** Adds the conditions between the keys of a group to a role's schema. */
export function groupChecks<Schema extends z.ZodType>(schema: Schema): Schema {
  return checks.reduce((checked, check) => crossCheck(checked, check as CrossCheck), schema);
}
