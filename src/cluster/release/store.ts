/**
 * The releases of one deployment on a host, and the links that say which of them runs.
 *
 * Invariant: a release has its name only when all of it is there, synced and checked, and nothing in it
 * changes afterwards. A link always points to a whole release: it is replaced by a rename. So power loss at
 * any moment leaves every instance with the old release or the new one. Releases that a link points to are
 * never removed.
 */
import { basename, dirname, join, relative } from "node:path";
import { NxError } from "../../core/errors.ts";
import type { LinkingDisk } from "../../core/seams/disk.ts";
import { makeDurableDirectory, removeTree, writeFileAtomically } from "../../core/seams/durable-files.ts";
import { releaseManifest, type ReleaseManifest } from "../agent/messages.ts";
import { agentExecutable, releasePaths, type DeploymentPaths } from "../topology/layout.ts";
import { listIfAny, readLinkIfAny, readTextIfAny, removeIfAny, replaceLink, sha256OfFile } from "./files.ts";
import { blocksFileOf, Incoming, type RunProgram } from "./incoming.ts";
import { saltedDigest } from "./salted.ts";

const MANIFEST = "release.json";
const MANIFEST_BYTES_MAX = 16 << 20;
/** Holds the reason; a release with it is not started again. */
const BAD_MARK = "BAD";
/** Unfinished ones; swept away when another is written. */
const MAKING = ".making-";

export interface KnownRelease extends ReleaseManifest {
  isBad: boolean;
}

export interface StoreOptions {
  disk: LinkingDisk;
  paths: DeploymentPaths;
  workingDirectory: string;
  run: RunProgram;
  /** The executable of this agent, if it is one. */
  ownExecutable: string | undefined;
}

export class ReleaseStore {
  readonly incoming: Incoming;
  readonly #options: StoreOptions;
  /** Of the executable that ssh runs here; read once, because it is long. */
  #agentDigest: string | undefined;

  constructor(options: StoreOptions) {
    this.#options = options;
    const { disk, paths, run, workingDirectory, ownExecutable } = options;
    this.incoming = new Incoming({
      disk,
      run,
      directory: paths.incoming,
      ownExecutable,
      ownPlace: workingDirectory,
      bases: () => this.#bases(),
    });
  }

  /**
   * `releases`; or the `versions` with dated directories that a host has which was deployed by other means,
   * such as /srv/dht/mem-dht-00/versions: then ours stand beside them.
   */
  async directory(): Promise<string> {
    const { disk, paths, workingDirectory } = this.#options;
    const versions = join(workingDirectory, "versions");
    return !(await disk.exists(paths.releases)) && (await disk.exists(versions)) ? versions : paths.releases;
  }

  /**
   * Newest first. Directories without a manifest of ours are `foreign`; they are kept, and can be linked to
   * by name.
   */
  async list(): Promise<{ releases: KnownRelease[]; foreign: string[] }> {
    const { disk } = this.#options;
    const directory = await this.directory();
    const releases: KnownRelease[] = [];
    const foreign: string[] = [];
    for (const { name, kind } of await listIfAny(disk, directory)) {
      if (kind !== "directory" || name.startsWith(".")) continue;
      const manifest = await this.#manifest(join(directory, name));
      if (manifest === undefined) foreign.push(name);
      else releases.push({ ...manifest, isBad: await disk.exists(join(directory, name, BAD_MARK)) });
    }
    return { releases: releases.sort((a, b) => b.createdAtMs - a.createdAtMs), foreign };
  }

  /** Throws NX_RELEASE_UNKNOWN when it is not here. */
  async manifest(id: string): Promise<ReleaseManifest> {
    const manifest = await this.#manifest(join(await this.directory(), id));
    if (manifest !== undefined) return manifest;
    throw new NxError("NX_RELEASE_UNKNOWN", `there is no release ${id} in ${this.#options.paths.root}`);
  }

  async #manifest(directory: string): Promise<ReleaseManifest | undefined> {
    const text = await readTextIfAny(this.#options.disk, join(directory, MANIFEST), MANIFEST_BYTES_MAX);
    if (text === undefined) return undefined;
    const parsed = releaseManifest.safeParse(parseJson(text));
    return parsed.success && parsed.data.id === basename(directory) ? parsed.data : undefined;
  }

  /**
   * Writes a release whose executable has arrived. `files` are the contents in the order of the manifest. Returns the
   * path of its executable.
   */
  async write(manifest: ReleaseManifest, files: Uint8Array): Promise<string> {
    const { disk, paths, workingDirectory } = this.#options;
    const contents = split(manifest, files);
    const directory = await this.directory();
    const { executable } = releasePaths(join(directory, manifest.id));
    if (await this.#isThere(directory, manifest)) {
      // Deployed again on purpose: whatever made it bad is said to be over.
      await removeIfAny(disk, join(directory, manifest.id, BAD_MARK));
      return executable;
    }
    await makeDurableDirectory(disk, directory);
    for (const place of [workingDirectory, dirname(paths.root), paths.root, directory]) {
      await disk.setMode(place, 0o755);
    }
    const making = join(directory, `${MAKING}${manifest.id}`);
    for (const { name } of await disk.list(directory)) {
      if (name.startsWith(MAKING)) await removeTree(disk, join(directory, name));
    }
    await makeDurableDirectory(disk, making);
    await disk.setMode(making, 0o755);
    const from = await this.#executable(manifest.executable.sha256);
    const to = releasePaths(making).executable;
    await disk.link(from, to);
    const table = this.incoming.tableOf(manifest.executable.sha256);
    if (await disk.exists(blocksFileOf(from))) await disk.link(blocksFileOf(from), blocksFileOf(to));
    else if (table !== undefined) await writeFileAtomically(disk, blocksFileOf(to), table);
    for (const [index, { name, salt }] of manifest.files.entries()) {
      const path = join(making, name);
      await makeDurableDirectory(disk, dirname(path));
      await writeFileAtomically(disk, path, contents[index] as Uint8Array);
      // What has a salt stays as it was made: 0600 in a directory with 0700.
      if (salt !== undefined) continue;
      for (let place = dirname(path); place !== making; place = dirname(place))
        await disk.setMode(place, 0o755);
      await disk.setMode(path, 0o644);
    }
    await writeFileAtomically(disk, join(making, MANIFEST), `${JSON.stringify(manifest, null, 2)}\n`);
    await disk.rename(making, join(directory, manifest.id));
    await disk.syncDirectory(directory);
    await this.#tidyIncoming(manifest.executable.sha256);
    await this.#renewAgent(join(directory, manifest.id));
    return executable;
  }

  /** The same release again is fine; another one under its name is not. */
  async #isThere(directory: string, manifest: ReleaseManifest): Promise<boolean> {
    const path = join(directory, manifest.id);
    if (!(await this.#options.disk.exists(path))) return false;
    const known = await this.#manifest(path);
    if (known?.digest === manifest.digest) return true;
    throw new NxError("NX_FILE_EXISTS", `${path} exists and is another release`);
  }

  /** An executable with this digest: one that arrived, or that of a release. */
  async #executable(sha256: string): Promise<string> {
    const arrived = this.incoming.pathOf(sha256);
    if (await this.#options.disk.exists(arrived)) return arrived;
    const known = await this.executableOf(sha256);
    if (known !== undefined) return known;
    throw new NxError("NX_RELEASE_UNKNOWN", `the executable ${sha256} has not arrived on this host`);
  }

  /** An executable here that has this digest and has passed its self-test: a release's, or the agent's. */
  async executableOf(sha256: string): Promise<string | undefined> {
    const { releases } = await this.list();
    const release = releases.find(({ executable, isBad }) => executable.sha256 === sha256 && !isBad);
    if (release !== undefined) return releasePaths(join(await this.directory(), release.id)).executable;
    const agent = agentExecutable(this.#options.workingDirectory);
    this.#agentDigest ??= await digestIfAny(this.#options.disk, agent);
    return this.#agentDigest === sha256 ? agent : undefined;
  }

  async #bases(): Promise<string[]> {
    const { disk, workingDirectory, ownExecutable } = this.#options;
    const directory = await this.directory();
    const { releases, foreign } = await this.list();
    const byDigest = new Map(releases.toReversed().map(({ executable, id }) => [executable.sha256, id]));
    const candidates = [
      ...[...byDigest.values()].toReversed().map((id) => releasePaths(join(directory, id)).executable),
      agentExecutable(workingDirectory),
      ...(ownExecutable === undefined ? [] : [ownExecutable]),
      ...foreign.map((name) => releasePaths(join(directory, name)).executable),
    ];
    const found: string[] = [];
    for (const path of candidates) if (await disk.exists(path)) found.push(path);
    return found;
  }

  async #tidyIncoming(sha256: string): Promise<void> {
    const path = this.incoming.pathOf(sha256);
    await removeIfAny(this.#options.disk, path);
    await removeIfAny(this.#options.disk, blocksFileOf(path));
  }

  /** The next agent on this host is of this release. */
  async #renewAgent(release: string): Promise<void> {
    const { disk, workingDirectory } = this.#options;
    const agent = agentExecutable(workingDirectory);
    const making = `${agent}.making`;
    await makeDurableDirectory(disk, dirname(agent));
    await disk.setMode(dirname(agent), 0o755);
    await removeIfAny(disk, making);
    await disk.link(releasePaths(release).executable, making);
    await disk.rename(making, agent);
    this.#agentDigest = undefined;
    await disk.syncDirectory(dirname(agent));
  }

  // --- links
  // -------------------------------------------------------------------------------------------------

  current(): Promise<string | undefined> {
    return this.#target(this.#options.paths.current);
  }

  async linkCurrent(id: string): Promise<void> {
    await this.#assertEligible(id);
    const { disk, paths } = this.#options;
    await replaceLink(disk, relative(paths.root, join(await this.directory(), id)), paths.current);
  }

  active(instance: string): Promise<string | undefined> {
    return this.#target(join(this.#options.paths.active, instance));
  }

  /** Every instance that has a link here. */
  async instances(): Promise<string[]> {
    const entries = await listIfAny(this.#options.disk, this.#options.paths.active);
    return entries.filter(({ name }) => !name.endsWith(".making")).map(({ name }) => name);
  }

  /** Points an instance at a release; returns the one before. */
  async swap(instance: string, id: string): Promise<string | undefined> {
    await this.#assertEligible(id);
    const { disk, paths } = this.#options;
    const before = await this.active(instance);
    await makeDurableDirectory(disk, paths.active);
    await disk.setMode(paths.active, 0o755);
    const target = relative(paths.active, join(await this.directory(), id));
    await replaceLink(disk, target, join(paths.active, instance));
    return before;
  }

  async forget(instance: string): Promise<void> {
    const { disk, paths } = this.#options;
    await removeIfAny(disk, join(paths.active, instance));
    if (await disk.exists(paths.active)) await disk.syncDirectory(paths.active);
  }

  async #target(link: string): Promise<string | undefined> {
    const target = await readLinkIfAny(this.#options.disk, link);
    return target === undefined ? undefined : basename(target);
  }

  async #assertEligible(id: string): Promise<void> {
    const { disk, paths } = this.#options;
    const directory = join(await this.directory(), id);
    if (!(await disk.exists(releasePaths(directory).executable))) {
      throw new NxError("NX_RELEASE_UNKNOWN", `there is no whole release ${id} in ${paths.root}`);
    }
    const reason = await readTextIfAny(disk, join(directory, BAD_MARK), MANIFEST_BYTES_MAX);
    if (reason === undefined) return;
    throw new NxError("NX_RELEASE_UNKNOWN", `release ${id} is marked as bad: ${reason.trim()}`, {
      hint: `remove ${join(directory, BAD_MARK)} if that was wrong`,
    });
  }

  async markBad(id: string, reason: string): Promise<void> {
    await writeFileAtomically(this.#options.disk, join(await this.directory(), id, BAD_MARK), `${reason}\n`);
  }

  /** Removes the oldest releases beyond `keep`, but none that a link points to. */
  async prune(keep: number): Promise<string[]> {
    const { disk } = this.#options;
    const directory = await this.directory();
    const inUse = new Set([await this.current()]);
    for (const instance of await this.instances()) inUse.add(await this.active(instance));
    const { releases } = await this.list();
    const removed = releases.slice(keep).filter(({ id }) => !inUse.has(id));
    for (const { id } of removed) {
      // Its name goes first: half a release is never seen.
      await disk.rename(join(directory, id), join(directory, `${MAKING}${id}`));
      await disk.syncDirectory(directory);
      await removeTree(disk, join(directory, `${MAKING}${id}`));
    }
    return removed.map(({ id }) => id);
  }
}

/** Empty when there is no such file. */
async function digestIfAny(disk: LinkingDisk, path: string): Promise<string> {
  return (await disk.exists(path)) ? await sha256OfFile(disk, path) : "";
}

/** Checks the contents against the manifest, one by one. */
function split(manifest: ReleaseManifest, bytes: Uint8Array): Uint8Array[] {
  let at = 0;
  const contents = manifest.files.map(({ name, bytes: length, sha256, salt }) => {
    const content = bytes.subarray(at, at + length);
    at += length;
    if (saltedDigest(content, salt) === sha256) return content;
    throw new NxError("NX_UPLOAD_DAMAGED", `${name} does not have the SHA-256 that was announced`);
  });
  if (at === bytes.byteLength) return contents;
  throw new NxError("NX_AGENT_PROTOCOL", `${bytes.byteLength - at} bytes belong to no file of the release`);
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
