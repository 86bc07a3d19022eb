/**
 * Whose host it is: pinned keys, known hosts, and the first meeting.
 *
 * Invariant: nothing is sent to a host before ssh itself has checked its key strictly against a file. For
 * pinned hosts that is a file of ours that holds only keys with a pinned fingerprint; for others it is
 * known_hosts. A key that nobody knows is only looked at, by a connection that offers no way to log in and
 * runs nothing, and is written down after a person agreed.
 */
import { createHash } from "node:crypto";
import { join } from "node:path";
import { NxError } from "../../core/errors.ts";
import type { Disk } from "../../core/seams/disk.ts";
import { writeFileAtomically } from "../../core/seams/durable-files.ts";
import type { Random } from "../../core/seams/random.ts";
import type { Host } from "../topology/types.ts";
import { spawnStream } from "./child.ts";
import { sshCommand, type SshAccess, type SshSettings } from "./command.ts";
import { sshError } from "./failures.ts";

export interface SeenKey {
  /** A line as in known_hosts: names, type, key. */
  line: string;
  type: string;
  /** `SHA256:…`, as ssh shows it. */
  fingerprint: string;
}

/** Asks a person whether these fingerprints are the host's; false refuses. */
export type ConfirmKeys = (host: string, keys: readonly SeenKey[]) => Promise<boolean>;

export interface HostKeyOptions {
  disk: Disk;
  random: Random;
  settings: SshSettings;
  environment: Record<string, string | undefined>;
  /** A directory of this user, for files of ours. */
  directory: string;
}

export function parseKnownHosts(text: string): SeenKey[] {
  return text.split("\n").flatMap((line) => {
    const [, type, key] = line.trim().split(/\s+/);
    if (type === undefined || key === undefined || line.startsWith("#") || line.startsWith("@")) return [];
    return [{ line: line.trim(), type, fingerprint: fingerprintOf(key) }];
  });
}

function fingerprintOf(base64Key: string): string {
  const digest = createHash("sha256").update(Buffer.from(base64Key, "base64")).digest("base64");
  return `SHA256:${digest.replace(/=+$/, "")}`;
}

/** The fingerprint of a pin: itself, or that of a whole key. */
function pinnedFingerprint(pin: string): string {
  return pin.startsWith("SHA256:") ? pin : fingerprintOf(pin.trim().split(/\s+/)[1] ?? "");
}

/** Looks at the keys that a host shows, one connection that cannot log in. Throws NX_HOST_UNREACHABLE. */
export async function lookAtKeys(host: Host, access: SshAccess, options: HostKeyOptions): Promise<SeenKey[]> {
  const { disk, random, settings, environment, directory } = options;
  const name = Buffer.from(random.bytes(8)).toString("hex");
  const file = join(directory, `seen-${name}`);
  const { controlDirectory: _, ...alone } = settings;
  const command = sshCommand(access, alone, "true", {
    // The first value of an option holds: this one connection may write down a new key, into a file that is
    // thrown away.
    more: ["StrictHostKeyChecking=accept-new", "PreferredAuthentications=none", "HashKnownHosts=no"],
    knownHostsFile: file,
  });
  const child = spawnStream(command, environment);
  child.close();
  await child.exited;
  if (!(await disk.exists(file))) throw sshError(host.name, child.stderr());
  try {
    return parseKnownHosts(await readText(disk, file));
  } finally {
    await disk.remove(file);
  }
}

/**
 * A file of known hosts for a pinned host, with the keys that it shows and that are pinned. Throws
 * NX_HOST_KEY_CHANGED when it shows none of them.
 */
export async function pinnedHostsFile(
  host: Host,
  access: SshAccess,
  options: HostKeyOptions,
): Promise<string> {
  const pins = new Set(host.hostKeys.map(pinnedFingerprint));
  const digest = createHash("sha256")
    .update(JSON.stringify([access.destination, access.port, access.jump, [...pins].sort()]))
    .digest("hex");
  const file = join(options.directory, `pinned-${digest.slice(0, 32)}`);
  if (await options.disk.exists(file)) return file;
  const seen = await lookAtKeys(host, access, options);
  const right = seen.filter(({ fingerprint }) => pins.has(fingerprint));
  if (right.length === 0) {
    const shown = seen.map(({ type, fingerprint }) => `${type} ${fingerprint}`).join(", ");
    throw new NxError("NX_HOST_KEY_CHANGED", `${host.name} shows ${shown}, which is not a pinned key`, {
      hint: "nothing was sent; correct hostKeys in prefix.cluster.json only if you know why the key changed",
    });
  }
  await writeFileAtomically(options.disk, file, `${right.map(({ line }) => line).join("\n")}\n`);
  return file;
}

/** The first meeting: shows the fingerprints, and when the person agrees adds the keys to known_hosts. */
export async function introduce(
  host: Host,
  access: SshAccess,
  options: HostKeyOptions,
  confirm: ConfirmKeys | undefined,
): Promise<void> {
  const seen = await lookAtKeys(host, access, options);
  const shown = seen.map(({ type, fingerprint }) => `${type} ${fingerprint}`).join(", ");
  const refused = new NxError("NX_HOST_KEY_UNKNOWN", `${host.name} is not known; it shows ${shown}`, {
    hint: `compare with the host's own (ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub), then pin it in prefix.cluster.json: "hostKeys": ["${seen[0]?.fingerprint ?? ""}"]`,
  });
  if (confirm === undefined || !(await confirm(host.name, seen))) throw refused;
  const file = await knownHostsFile(access, options);
  const known = await options.disk.open(file, "create");
  try {
    const size = await known.size();
    const last = new Uint8Array(1);
    if (size > 0) await known.read(last, size - 1);
    const gap = size === 0 || last[0] === 0x0a ? "" : "\n";
    const lines = `${gap}${seen.map(({ line }) => line).join("\n")}\n`;
    await known.write(new TextEncoder().encode(lines), size);
    await known.sync();
  } finally {
    await known.close();
  }
}

/** Where ssh itself would write a new key: the first UserKnownHostsFile of its configuration. */
async function knownHostsFile(access: SshAccess, options: HostKeyOptions): Promise<string> {
  const command = sshCommand(access, options.settings, "true").toSpliced(1, 1, "-G", "-T");
  const child = spawnStream(command, options.environment);
  child.close();
  const text = await new Response(child.incoming as ReadableStream<Uint8Array>).text();
  const path = /^userknownhostsfile (\S+)/m.exec(text)?.[1];
  if (path === undefined || !path.startsWith("/")) {
    throw new NxError("NX_HOST_KEY_UNKNOWN", `ssh names no file of known hosts for ${access.destination}`);
  }
  return path;
}

async function readText(disk: Disk, path: string): Promise<string> {
  const file = await disk.open(path, "read");
  try {
    const bytes = new Uint8Array(await file.size());
    return new TextDecoder().decode(bytes.subarray(0, await file.read(bytes, 0)));
  } finally {
    await file.close();
  }
}
