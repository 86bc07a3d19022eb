/**
 * TLS material from the files a configuration names, checked before any listener opens.
 *
 * Invariant: what this returns can serve: the certificate parses, is within its dates and belongs to the key. A private
 * key that other users can read is refused; keys stay in memory and are never logged.
 */
import { createPrivateKey, X509Certificate } from "node:crypto";
import { NxError } from "../errors.ts";
import type { Net, TlsMaterial } from "../seams/net.ts";
import { readBounded, readPrivateFile } from "../secret-file.ts";

export interface TlsFiles {
  cert: string;
  key: string;
  clientCa?: string | undefined;
}

const PEM_BYTES_MAX = 1024 * 1024;

function readPem(key: keyof TlsFiles, path: string): string {
  try {
    return key === "key" ? readPrivateFile(path, PEM_BYTES_MAX) : readBounded(path, PEM_BYTES_MAX);
  } catch (error) {
    if (!(error instanceof NxError)) throw error;
    throw new NxError("NX_TLS_INVALID", `tls.${key}: ${error.message}`, { hint: error.hint, cause: error });
  }
}

function parse<Value>(key: string, path: string, wanted: string, read: () => Value): Value {
  try {
    return read();
  } catch (error) {
    throw new NxError("NX_TLS_INVALID", `tls.${key}: ${path} is not ${wanted}`, {
      hint: "`node-x tls issue` makes a matching pair",
      cause: error,
    });
  }
}

/** Reads and checks the files. `nowMs` judges the dates. Throws NX_TLS_INVALID. */
export function loadTls(files: TlsFiles | undefined, nowMs: number): TlsMaterial | undefined {
  if (files === undefined) return undefined;
  const cert = readPem("cert", files.cert);
  const key = readPem("key", files.key);
  const certificate = parse("cert", files.cert, "a PEM certificate", () => new X509Certificate(cert));
  const privateKey = parse("key", files.key, "a PEM private key", () => createPrivateKey(key));
  if (!certificate.checkPrivateKey(privateKey)) {
    throw new NxError(
      "NX_TLS_INVALID",
      `tls: the key ${files.key} does not belong to the certificate ${files.cert}`,
      {
        hint: "`node-x tls issue` makes a matching pair",
      },
    );
  }
  if (Date.parse(certificate.validFrom) > nowMs) {
    throw new NxError(
      "NX_TLS_INVALID",
      `tls.cert: ${files.cert} is not valid before ${certificate.validFrom}`,
      {
        hint: "is this host's clock right?",
      },
    );
  }
  if (Date.parse(certificate.validTo) < nowMs) {
    throw new NxError("NX_TLS_INVALID", `tls.cert: ${files.cert} expired on ${certificate.validTo}`, {
      hint: "`node-x tls rotate` renews it",
    });
  }
  const material: TlsMaterial = { cert, key };
  if (files.clientCa !== undefined) {
    material.clientCa = readPem("clientCa", files.clientCa);
    parse(
      "clientCa",
      files.clientCa,
      "a PEM certificate",
      () => new X509Certificate(material.clientCa as string),
    );
  }
  return material;
}

/** What a caller shows and believes. */
export interface CallerTls {
  ca: string;
  cert?: string;
  key?: string;
}

/** The authorities of a file for those who call their peers with TLS, showing their own pair. Throws NX_TLS_INVALID. */
export function callerTlsOf(tls: TlsMaterial | undefined, caFile: string | undefined): CallerTls | undefined {
  if (caFile === undefined) return undefined;
  const ca = readBounded(caFile, PEM_BYTES_MAX);
  return { ca, ...(tls !== undefined && { cert: tls.cert, key: tls.key }) };
}

/** The same network, on which every call is made with TLS. */
export function callingWithTls(net: Net, tls: CallerTls | undefined): Net {
  if (tls === undefined) return net;
  return {
    listen: (options) => net.listen(options),
    connect: (options) => net.connect({ ...options, tls }),
  };
}
