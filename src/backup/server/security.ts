/** What the keys about encryption (security-keys.ts) become: a listener, and a network towards others. */
import { NxError } from "../../core/errors.ts";
import { readBounded, readPrivateFile, readSecret } from "../../core/secret-file.ts";
import type { Clock } from "../../core/seams/clock.ts";
import type { Net } from "../../core/seams/net.ts";
import { loadTls } from "../../core/sockets/tls.ts";
import { securedNet } from "../wire/secured-net.ts";
import type { SecureOptions } from "./server.ts";

const PEM_BYTES_MAX = 1 << 20;

interface SecurityConfig {
  securePort?: number | undefined;
  secure?:
    | {
        cert: string;
        key: string;
        clientCa?: string | undefined;
        tokenFile?: string | undefined;
        refusesPlain: boolean;
      }
    | undefined;
  peers?:
    | {
        mode: "required" | "preferred";
        ca: string;
        cert?: string | undefined;
        key?: string | undefined;
        tokenFile?: string | undefined;
      }
    | undefined;
}

/** What the listener needs; undefined when none is wanted. Throws what is wrong with the files. */
export function secureOptionsOf(
  { securePort, secure }: SecurityConfig,
  nowMs: number,
): SecureOptions | undefined {
  if ((securePort === undefined) !== (secure === undefined))
    throw new NxError("NX_CONFIG_INVALID", "securePort and secure belong together: one of them is missing");
  const tls = loadTls(secure, nowMs);
  if (securePort === undefined || secure === undefined || tls === undefined) return undefined;
  const token = secure.tokenFile === undefined ? undefined : readSecret("secure.tokenFile", secure.tokenFile);
  return { port: securePort, tls, token, refusesPlain: secure.refusesPlain };
}

/** The network as this server's connections to others go through it. */
export function peerNet(net: Net, clock: Clock, { peers }: SecurityConfig): Net {
  if (peers === undefined) return net;
  const { mode, ca, cert, key, tokenFile } = peers;
  return securedNet(net, clock, {
    mode,
    ca: readBounded(ca, PEM_BYTES_MAX),
    cert: cert === undefined ? undefined : readBounded(cert, PEM_BYTES_MAX),
    key: key === undefined ? undefined : readPrivateFile(key, PEM_BYTES_MAX),
    token: tokenFile === undefined ? undefined : readSecret("peers.tokenFile", tokenFile),
  });
}
