/**
 * The network of the controller: in the clear, unless the environment names the authority of the servers' certificates.
 *
 *   NODE_X_WALB_CA           PEM file with the authorities: every connection is encrypted
 *   NODE_X_WALB_CERT, _KEY   our own certificate, where servers demand one
 *   NODE_X_WALB_TOKEN_FILE   file with the token that we bring
 */
import type { Clock } from "../../core/seams/clock.ts";
import type { Net } from "../../core/seams/net.ts";
import { peerNet } from "../server/security.ts";

export function controllerNet(net: Net, clock: Clock, environment: Record<string, string | undefined>): Net {
  const { NODE_X_WALB_CA: ca, NODE_X_WALB_CERT: cert, NODE_X_WALB_KEY: key } = environment;
  if (ca === undefined) return net;
  const tokenFile = environment.NODE_X_WALB_TOKEN_FILE;
  return peerNet(net, clock, { peers: { mode: "required", ca, cert, key, tokenFile } });
}
