/**
 * The directory of a private authority: `ca.crt`, `ca.key`, and `<name>.crt`, `<name>.key` for each
 * certificate.
 *
 * Keys have mode 0600. Invariant: a certificate and its key change together as far as the file system allows:
 * both are written beside the old ones and synced, then the key is renamed before the certificate. A crash
 * between the two renames leaves a pair that does not match, which `node-x check` and `tls rotate` find and
 * mend.
 */
import {
  closeSync,
  existsSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  writeSync,
} from "node:fs";
import { join } from "node:path";
import { createPrivateKey, X509Certificate } from "node:crypto";
import { readPrivateFile } from "../core/secret-file.ts";
import { errnoOf, NxError } from "../core/errors.ts";
import { outputFailed } from "../core/output-failed.ts";
import type { CertificatePair } from "../core/certificates.ts";

const AUTHORITY = "ca";
const PEM_BYTES_MAX = 1024 * 1024;

export class TlsDirectory {
  readonly path: string;

  constructor(path: string) {
    this.path = path;
  }

  certificatePath(name: string): string {
    return join(this.path, `${name}.crt`);
  }

  keyPath(name: string): string {
    return join(this.path, `${name}.key`);
  }

  has(name: string): boolean {
    return existsSync(this.certificatePath(name)) || existsSync(this.keyPath(name));
  }

  /** Names of all certificates, without the authority. */
  names(): string[] {
    return readdirSync(this.path)
      .filter((file) => file.endsWith(".crt"))
      .map((file) => file.slice(0, -".crt".length))
      .filter((name) => name !== AUTHORITY)
      .sort();
  }

  authority(): CertificatePair {
    if (!this.has(AUTHORITY)) {
      throw new NxError("NX_TLS_INVALID", `${this.path} holds no authority (ca.crt, ca.key)`, {
        hint: `\`node-x tls ca ${this.path}\` makes one`,
      });
    }
    return {
      certificate: this.certificate(AUTHORITY),
      key: readPrivateFile(this.keyPath(AUTHORITY), PEM_BYTES_MAX),
    };
  }

  certificate(name: string): string {
    const path = this.certificatePath(name);
    try {
      return readFileSync(path, "utf8");
    } catch (error) {
      throw new NxError(
        "NX_TLS_INVALID",
        `${path} cannot be read (${errnoOf(error) ?? (error as Error).message})`,
        { hint: "check the path and its permissions" },
      );
    }
  }

  /** False after a crash between the two renames of `write`, or when somebody mixed files up. */
  isPair(name: string): boolean {
    try {
      const key = createPrivateKey(readPrivateFile(this.keyPath(name), PEM_BYTES_MAX));
      return new X509Certificate(this.certificate(name)).checkPrivateKey(key);
    } catch {
      return false;
    }
  }

  write(name: string, pair: CertificatePair): void {
    try {
      mkdirSync(this.path, { recursive: true, mode: 0o700 });
      writeSynced(`${this.keyPath(name)}.next`, pair.key, 0o600);
      writeSynced(`${this.certificatePath(name)}.next`, pair.certificate, 0o644);
      renameSync(`${this.keyPath(name)}.next`, this.keyPath(name));
      renameSync(`${this.certificatePath(name)}.next`, this.certificatePath(name));
      syncDirectory(this.path);
    } catch (error) {
      throw outputFailed(this.path, error);
    }
  }

  writeAuthority(pair: CertificatePair): void {
    this.write(AUTHORITY, pair);
  }

  hasAuthority(): boolean {
    return this.has(AUTHORITY);
  }
}

function writeSynced(path: string, text: string, mode: number): void {
  const fd = openSync(path, "w", mode);
  try {
    writeSync(fd, text);
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
}

function syncDirectory(path: string): void {
  const fd = openSync(path, "r");
  try {
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
}
