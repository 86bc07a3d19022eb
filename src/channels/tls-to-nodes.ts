/** How a node of this family calls other nodes: with TLS where its configuration names their authorities. */
import type { RoleContext } from "../core/role.ts";
import type { TlsToPeer } from "../core/seams/net.ts";
import { readBounded } from "../core/secret-file.ts";

const PEM_BYTES_MAX = 1024 * 1024;

/**
 * What an address of another node has beside host and port. The node's own certificate is shown to those that want one.
 * Throws NX_SECRET_UNUSABLE when the file of authorities cannot be read.
 */
export function tlsToNodes({
  config: { nodesCa },
  tls,
}: Pick<RoleContext<{ nodesCa?: string | undefined }>, "config" | "tls">): { tls?: TlsToPeer } {
  if (nodesCa === undefined) return {};
  const own = tls === undefined ? {} : { cert: tls.cert, key: tls.key };
  return { tls: { ca: readBounded(nodesCa, PEM_BYTES_MAX), ...own } };
}
