/**
 * TLS material from the files a configuration names, checked before any listener opens.
 *
 * Invariant: what this returns can serve: the certificate parses, is within its dates and belongs to the key. A private
 * key that other users can read is refused; keys stay in memory and are never logged.
 */
import { createPrivateKey, X509Certificate } from "node:crypto";
import { readFileSync, statSync } from "node:fs";
import { errnoOf, NxError } from "./errors.ts";
import type { TlsMaterial } from "./net.ts";

export interface TlsFiles {
  cert: string;
  key: string;
  clientCa?: string | undefined;
}

const PEM_BYTES_MAX = 1024 * 1024;
/** Any access by users who are neither the owner nor in the group: service managers hand out group-readable keys. */
const OTHERS = 0o007;

function readPem(key: string, path: string): string {
  try {
    const { size, mode } = statSync(path);
    if (key === "key" && (mode & OTHERS) !== 0) {
      throw new NxError("NX_TLS_INVALID", `tls.key: other users can read ${path} (mode 0${(mode & 0o777).toString(8)})`, {
        hint: `chmod 600 ${path}`,
      });
    }
    if (size > PEM_BYTES_MAX) throw new Error(`longer than ${PEM_BYTES_MAX} bytes`);
    return readFileSync(path, "utf8");
  } catch (error) {
    if (error instanceof NxError) throw error;
    throw new NxError("NX_TLS_INVALID", `tls.${key}: ${path} cannot be read (${errnoOf(error) ?? (error as Error).message})`, {
      hint: "give a PEM file that this user can read",
      cause: error,
    });
  }
}

function parse<Value>(key: string, path: string, wanted: string, read: () => Value): Value {
  try {
    return read();
  } catch (error) {
    throw new NxError("NX_TLS_INVALID", `tls.${key}: ${path} is not ${wanted}`, { hint: "`node-x tls issue` makes a matching pair", cause: error });
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
    throw new NxError("NX_TLS_INVALID", `tls: the key ${files.key} does not belong to the certificate ${files.cert}`, {
      hint: "`node-x tls issue` makes a matching pair",
    });
  }
  if (Date.parse(certificate.validFrom) > nowMs) {
    throw new NxError("NX_TLS_INVALID", `tls.cert: ${files.cert} is not valid before ${certificate.validFrom}`, {
      hint: "is this host's clock right?",
    });
  }
  if (Date.parse(certificate.validTo) < nowMs) {
    throw new NxError("NX_TLS_INVALID", `tls.cert: ${files.cert} expired on ${certificate.validTo}`, { hint: "`node-x tls rotate` renews it" });
  }
  const material: TlsMaterial = { cert, key };
  if (files.clientCa !== undefined) {
    material.clientCa = readPem("clientCa", files.clientCa);
    parse("clientCa", files.clientCa, "a PEM certificate", () => new X509Certificate(material.clientCa as string));
  }
  return material;
}
