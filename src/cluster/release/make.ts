/**
 * A cluster and an executable → one release, with what each host gets of it.
 *
 * Invariant: the digest covers everything that can make instances behave differently, and nothing else, so
 * the same files and the same executable are the same release whoever makes it and whenever. Contents are
 * read once and checked against what the topology was read from: a file that changes meanwhile stops the
 * command.
 */
import { createHash } from "node:crypto";
import { NxError } from "../../core/errors.ts";
import type { Disk } from "../../core/seams/disk.ts";
import type { Inventory, ReleaseManifest } from "../agent/messages.ts";
import type { HostRelease } from "../rollout/executor.ts";
import type { ServiceSpec } from "../services/services.ts";
import { deploymentPaths, instanceCommand, namedFilePath, namedFilesDirectory } from "../topology/layout.ts";
import type { Cluster, ConfigFile, Host, Instance } from "../topology/types.ts";
import type { Executable } from "./executable.ts";
import { readWhole } from "./files.ts";
import { saltedDigest, type Salts } from "./salted.ts";

const CONFIG_BYTES_MAX = 8 << 20;

export interface MakeOptions {
  cluster: Cluster;
  executable: Pick<Executable, "sha256" | "bytes">;
  version: string;
  madeBy: string;
  nowMs: number;
  disk: Disk;
  /** What the hosts have: the same release again keeps its name. */
  known: readonly Inventory[];
  salts: Salts;
}

export interface Release {
  id: string;
  digest: string;
  /** By host. */
  hosts: Map<string, HostRelease>;
}

export async function makeRelease(options: MakeOptions): Promise<Release> {
  const { cluster, executable, version, madeBy, nowMs, known } = options;
  const drafts = await Promise.all(
    cluster.hosts.map(async (host) => {
      const instances = cluster.instances.filter((instance) => instance.host === host.name);
      return {
        host,
        files: await contentsOf(instances, options),
        services: instances.map((one) => serviceOf(cluster, host, one)),
      };
    }),
  );
  const described = drafts.map(({ host, files, services }) => ({
    host: host.name,
    files: files.map(({ entry: { name, sha256 } }) => ({ name, sha256 })),
    services,
  }));
  const digest = createHash("sha256")
    .update(JSON.stringify({ executable: executable.sha256, described }))
    .digest("hex");
  const found = earlier(known, digest);
  const id = found?.id ?? `${stamp(nowMs)}-${digest.slice(0, 8)}`;
  const hosts = new Map<string, HostRelease>();
  for (const { host, files, services } of drafts) {
    const manifest: ReleaseManifest = {
      id,
      digest,
      createdAtMs: found?.createdAtMs ?? nowMs,
      madeBy,
      version,
      executable: { sha256: executable.sha256, bytes: executable.bytes.byteLength },
      files: files.map(({ entry }) => entry),
      services,
    };
    hosts.set(host.name, { manifest, files: files.map(({ content }) => content) });
  }
  return { id, digest, hosts };
}

interface FileWithContent {
  entry: ReleaseManifest["files"][number];
  content: Uint8Array;
}

/** The configurations of a host's instances, then the files that these name. */
async function contentsOf(
  instances: readonly Instance[],
  { disk, known, salts }: MakeOptions,
): Promise<FileWithContent[]> {
  const configs = filesOf(instances).map(async (file): Promise<FileWithContent> => {
    const { name, sha256, bytes } = file;
    return { entry: { name: `configs/${name}`, sha256, bytes }, content: await contentOf(disk, file) };
  });
  const named = instances.flatMap(({ name: instance, namedFiles }) =>
    namedFiles.map(async ({ key, path }): Promise<FileWithContent> => {
      const content = await readWhole(disk, path, CONFIG_BYTES_MAX);
      const name = namedFilePath(instance, key);
      const salt = salts.saltOf(name, content, known);
      const sha256 = saltedDigest(content, salt);
      return { entry: { name, sha256, bytes: content.byteLength, salt }, content };
    }),
  );
  return await Promise.all([...configs, ...named]);
}

function earlier(known: Iterable<Inventory>, digest: string): ReleaseManifest | undefined {
  for (const { releases } of known) {
    const same = releases.find((release) => release.digest === digest);
    if (same !== undefined) return same;
  }
  return undefined;
}

/** Several instances may share a file: a group's, for instance. */
function filesOf(instances: readonly Instance[]): ConfigFile[] {
  const byName = new Map(instances.flatMap(({ files }) => files.map((file) => [file.name, file] as const)));
  return [...byName.values()].sort((a, b) => (a.name < b.name ? -1 : 1));
}

export function serviceOf(cluster: Cluster, host: Host, instance: Instance): ServiceSpec {
  const paths = deploymentPaths(host.workingDirectory, cluster.prefix);
  return {
    instance: instance.name,
    role: instance.role,
    command: instanceCommand(paths, instance),
    workingDirectory: host.workingDirectory,
    environment: instance.environment,
    dataDir: instance.dataDir,
    outputFile: `${paths.log}/${instance.outputFile}`,
    stopTimeoutMs: instance.rollout.stopTimeoutMs,
    ...(instance.privileges.length > 0 && { privileges: instance.privileges }),
    ...(instance.namedFiles.length > 0 && {
      namedFiles: {
        directory: namedFilesDirectory(paths, instance.name),
        names: instance.namedFiles.map(({ key }) => key),
      },
    }),
  };
}

async function contentOf(disk: Disk, { path, sha256 }: ConfigFile): Promise<Uint8Array> {
  const content = await readWhole(disk, path, CONFIG_BYTES_MAX);
  if (createHash("sha256").update(content).digest("hex") === sha256) return content;
  throw new NxError("NX_CONFIG_UNREADABLE", `${path} changed while it was read`, {
    hint: "run the command again",
  });
}

/** `20251125T190100Z`. */
function stamp(nowMs: number): string {
  return new Date(nowMs).toISOString().replace(/[-:]|\.\d+/g, "");
}
