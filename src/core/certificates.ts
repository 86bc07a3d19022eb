/**
 * A private certificate authority: makes authorities, issues certificates, reads them back.
 *
 * ECDSA P-256 throughout. X.509 is built by @peculiar/x509 (node:crypto can read certificates but not sign
 * them), keys by WebCrypto. Invariant: keys are made here and handed out as PEM once; nothing is written, the
 * caller decides where.
 */
import type * as X509 from "@peculiar/x509";
import { X509Certificate } from "node:crypto";
import { isIP } from "node:net";
import { NxError } from "./errors.ts";

const algorithm = { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" } as const;
const DAY_MS = 24 * 60 * 60 * 1000;
/** Hosts' clocks differ: a certificate is valid a little before it was made. */
const CLOCK_SKEW_MS = 5 * 60 * 1000;

/** The library demands that reflect-metadata ran before it, an order that bundlers only keep for awaited imports. */
async function loadX509(): Promise<typeof X509> {
  await import("reflect-metadata");
  return await import("@peculiar/x509");
}

export interface CertificatePair {
  /** PEM. */
  certificate: string;
  /** PEM, PKCS#8. A secret. */
  key: string;
}

export interface IssueOptions {
  /** The name it stands for: the identity `node-x:<name>` and the common name. */
  name: string;
  /** Host names and IP addresses that clients connect to. */
  hosts: readonly string[];
  days: number;
  nowMs: number;
}

/** A self-signed authority that can sign certificates but no further authorities. */
export async function createAuthority(name: string, days: number, nowMs: number): Promise<CertificatePair> {
  const x509 = await loadX509();
  const keys = await crypto.subtle.generateKey(algorithm, true, ["sign", "verify"]);
  const certificate = await x509.X509CertificateGenerator.createSelfSigned({
    serialNumber: serialNumber(),
    name: new x509.Name([{ CN: [name] }]),
    ...validity(days, nowMs),
    signingAlgorithm: algorithm,
    keys,
    extensions: [
      new x509.BasicConstraintsExtension(true, 0, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.keyCertSign | x509.KeyUsageFlags.cRLSign, true),
      await x509.SubjectKeyIdentifierExtension.create(keys.publicKey),
    ],
  });
  return { certificate: pem(certificate), key: await keyPem(keys.privateKey) };
}

/** A certificate for servers and clients alike, signed by `authority`. */
export async function issueCertificate(
  authority: CertificatePair,
  options: IssueOptions,
): Promise<CertificatePair> {
  const x509 = await loadX509();
  const issuer = new x509.X509Certificate(authority.certificate);
  const signingKey = await importKey(authority.key);
  const keys = await crypto.subtle.generateKey(algorithm, true, ["sign", "verify"]);
  const hosts = options.hosts.map((host) => ({
    type: isIP(host) === 0 ? ("dns" as const) : ("ip" as const),
    value: host,
  }));
  const certificate = await x509.X509CertificateGenerator.create({
    serialNumber: serialNumber(),
    subject: new x509.Name([{ CN: [options.name] }]),
    issuer: issuer.subject,
    ...validity(options.days, options.nowMs),
    signingAlgorithm: algorithm,
    publicKey: keys.publicKey,
    signingKey,
    extensions: [
      new x509.BasicConstraintsExtension(false, undefined, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.digitalSignature, true),
      new x509.ExtendedKeyUsageExtension([
        x509.ExtendedKeyUsage.serverAuth,
        x509.ExtendedKeyUsage.clientAuth,
      ]),
      // The identity comes first: peers are told apart by the first name of their certificate.
      new x509.SubjectAlternativeNameExtension([{ type: "url", value: identityOf(options.name) }, ...hosts]),
      await x509.SubjectKeyIdentifierExtension.create(keys.publicKey),
      await x509.AuthorityKeyIdentifierExtension.create(issuer.publicKey),
    ],
  });
  return { certificate: pem(certificate), key: await keyPem(keys.privateKey) };
}

/** The name by which peers know the holder: `node-x:local.dht0`. */
export function identityOf(name: string): string {
  return `node-x:${name}`;
}

export interface CertificateFacts {
  name: string;
  hosts: string[];
  notBeforeMs: number;
  notAfterMs: number;
  serialNumber: string;
  isAuthority: boolean;
}

/** Reads a PEM certificate that this module made. Throws NX_TLS_INVALID for other bytes. */
export function readCertificate(certificate: string, source: string): CertificateFacts {
  let parsed: X509Certificate;
  try {
    parsed = new X509Certificate(certificate);
  } catch (error) {
    throw new NxError("NX_TLS_INVALID", `${source} is not a PEM certificate`, {
      hint: "restore it from a backup, or issue another",
      cause: error,
    });
  }
  const names = (parsed.subjectAltName ?? "").split(", ").filter((name) => name !== "");
  return {
    name: /(?:^|\n)CN=(.*)/.exec(parsed.subject)?.[1] ?? "",
    hosts: names.flatMap((name) => /^(?:DNS|IP Address):(.*)$/.exec(name)?.[1] ?? []),
    notBeforeMs: Date.parse(parsed.validFrom),
    notAfterMs: Date.parse(parsed.validTo),
    serialNumber: parsed.serialNumber,
    isAuthority: parsed.ca,
  };
}

/** True when `certificate` was signed by the key of `authority`. */
export function isIssuedBy(certificate: string, authority: string): boolean {
  return new X509Certificate(certificate).verify(new X509Certificate(authority).publicKey);
}

function validity(days: number, nowMs: number): { notBefore: Date; notAfter: Date } {
  return { notBefore: new Date(nowMs - CLOCK_SKEW_MS), notAfter: new Date(nowMs + days * DAY_MS) };
}

/** 16 random bytes with the highest bit clear, because a serial number is a positive integer. */
function serialNumber(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  bytes[0] = ((bytes[0] ?? 0) & 0x7f) | 0x40;
  return Buffer.from(bytes).toString("hex");
}

function pem(certificate: X509.X509Certificate): string {
  return `${certificate.toString("pem")}\n`;
}

async function keyPem(key: CryptoKey): Promise<string> {
  const encoded = Buffer.from(await crypto.subtle.exportKey("pkcs8", key)).toString("base64");
  const lines = encoded.match(/.{1,64}/g) ?? [];
  return `-----BEGIN PRIVATE KEY-----\n${lines.join("\n")}\n-----END PRIVATE KEY-----\n`;
}

async function importKey(text: string): Promise<CryptoKey> {
  const body = /-----BEGIN PRIVATE KEY-----([\s\S]*?)-----END PRIVATE KEY-----/.exec(text)?.[1];
  if (body === undefined)
    throw new NxError("NX_TLS_INVALID", "the authority's key is not a PKCS#8 PEM key", {
      hint: "restore ca.key from a backup",
    });
  return await crypto.subtle.importKey("pkcs8", Buffer.from(body, "base64"), algorithm, false, ["sign"]);
}
