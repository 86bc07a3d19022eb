/**
 * What Diamond's scripts can be told at a start, laid over a cluster: `--batch N`, `--keys FILE --numkeys N`, `--debug`.
 *
 * It becomes part of the release like any configuration, so a restart or a rollback starts with the same words.
 */
import { environmentName } from "../../core/config/overrides.ts";
import { NxError } from "../../core/errors.ts";
import type { Cluster, ConfigFile } from "../topology/types.ts";

export interface LaunchOptions {
  /** For every shard. */
  batch?: number;
  /** Keys that every shard loads at its start. */
  keys?: { file: ConfigFile; count: number };
  isDebug: boolean;
}

const KEYS_NAME = "keys.txt";

export function withLaunchOptions(cluster: Cluster, { batch, keys, isDebug }: LaunchOptions): Cluster {
  if ((batch !== undefined || keys !== undefined) && !cluster.instances.some(({ role }) => role === "shard"))
    throw new NxError(
      "NX_USAGE",
      `${cluster.prefix} has no shards: --batch, --keys and --numkeys are for shards`,
    );
  const shards = new Set(cluster.instances.flatMap(({ role, index }) => (role === "shard" ? [index] : [])))
    .size;
  const instances = cluster.instances.map((instance) => {
    const debug = { DEBUG: "all", [environmentName(instance.role, ["log", "level"])]: "trace" };
    const environment = { ...instance.environment, ...(isDebug && debug) };
    if (instance.role !== "shard") return { ...instance, environment };
    return {
      ...instance,
      environment,
      words: [
        ...instance.words,
        ...(batch === undefined ? [] : ["-B", String(batch)]),
        ...(keys === undefined
          ? []
          : ["-N", String(shards), "-k", String(keys.count), "-f", `{configs}/${KEYS_NAME}`]),
      ],
      files: keys === undefined ? instance.files : [...instance.files, { ...keys.file, name: KEYS_NAME }],
    };
  });
  return { ...cluster, instances };
}
