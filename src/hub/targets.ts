/**
 * Whom the hub asks: the instances of its cluster's files and those that its configuration names.
 *
 * Invariant: an instance of this host is asked over its admin socket; one of another host only over TLS with the token. One that
 * cannot be asked is shown all the same, with what to do about it. A token never crosses a network in the clear.
 */
import { join, resolve } from "node:path";
import { NxError } from "../core/errors.ts";
import type { ClusterMember } from "../core/role.ts";
import type { TlsMaterial } from "../core/seams/net.ts";
import { readBounded, readSecret } from "../core/secret-file.ts";
import type { Target } from "../core/watch/scraper.ts";

export interface AskKeys {
  instances: string[];
  scrapeTokenFile?: string | undefined;
  scrapeCa?: string | undefined;
}

interface Credentials {
  token: string | undefined;
  tls: { ca?: string; cert?: string; key?: string };
}

const PEM_BYTES_MAX = 1024 * 1024;
const LOCAL = /^(127\.|localhost$|\[::1\]$|::1$)/;

function credentialsOf({ scrapeTokenFile, scrapeCa }: AskKeys, tls: TlsMaterial | undefined): Credentials {
  const ca = scrapeCa === undefined ? undefined : readBounded(scrapeCa, PEM_BYTES_MAX);
  return {
    token: scrapeTokenFile === undefined ? undefined : readSecret("scrapeTokenFile", scrapeTokenFile),
    tls: { ...(ca !== undefined && { ca }), ...(tls !== undefined && { cert: tls.cert, key: tls.key }) },
  };
}

/** What the key `instances` means: addresses of admin endpoints, else data directories. */
function namedTarget(name: string, { token, tls }: Credentials): Target {
  if (!/^https?:\/\//.test(name))
    return { name, endpoint: { socket: join(resolve(name), "admin.sock") }, address: "127.0.0.1" };
  const url = URL.parse(name);
  if (url === null) throw new NxError("NX_CONFIG_INVALID", `instances: ${name} is not an address`);
  const isSafe = url.protocol === "https:" || LOCAL.test(url.hostname);
  return {
    name,
    endpoint: { url: url.origin, tls, ...(isSafe && token !== undefined && { token }) },
    address: url.hostname,
  };
}

function memberTarget(member: ClusterMember, credentials: Credentials): Target {
  const { name, role, host, group, address } = member;
  const about = { name, role, host, address, ...(group !== undefined && { group }) };
  return { ...about, endpoint: endpointOf(member, credentials) };
}

function endpointOf(
  { isHere, dataDir, admin }: ClusterMember,
  { token, tls }: Credentials,
): Target["endpoint"] {
  if (isHere) return { socket: join(dataDir, "admin.sock") };
  if (admin === undefined)
    return {
      isUnreachableBecause:
        "it is on another host and has no adminPort: set adminPort, adminHost, adminTokenFile and tls in its file",
    };
  if (token === undefined)
    return { isUnreachableBecause: "it is on another host: set scrapeTokenFile in the hub's file" };
  const host = admin.host.includes(":") ? `[${admin.host}]` : admin.host;
  return { url: `https://${host}:${admin.port}`, token, tls };
}

/** Everybody, the members of the cluster first. Throws NX_SECRET_UNUSABLE, NX_CONFIG_INVALID. */
export function targetsOf(
  config: AskKeys,
  members: readonly ClusterMember[],
  tls: TlsMaterial | undefined,
): Target[] {
  const credentials = credentialsOf(config, tls);
  return [
    ...members.map((member) => memberTarget(member, credentials)),
    ...config.instances.map((name) => namedTarget(name, credentials)),
  ];
}
