/**
 * The files that a configuration names: secrets, certificates, keys.
 *
 * Invariant: a secret is only ever read from a file that no other user can read, and its contents never reach
 * a message. `check` reads all of them, so a deployment fails before it starts and not at the first
 * connection.
 */
import { createPrivateKey, X509Certificate } from "node:crypto";
import { existsSync, statSync } from "node:fs";
import { resolve } from "node:path";
import type { z } from "zod";
import { realClock } from "../seams/clock.ts";
import { NxError } from "../errors.ts";
import { readBounded, readPrivateFile, readSecretFile } from "../secret-file.ts";
import { loadTls, type TlsFiles } from "../sockets/tls.ts";
import { configKeys } from "./keys.ts";
import type { Origins } from "./origin.ts";
import type { Problem } from "./problem.ts";
import type { FileKind } from "./schema.ts";
import { valueAt } from "./validate.ts";

const PEM_BYTES_MAX = 1024 * 1024;
const SECRETS_BYTES_MAX = 10_000_000;

export interface FileCheck {
  config: Record<string, unknown>;
  schema: z.ZodObject;
  origins: Origins;
  workingDirectory: string;
}

/** Reads every file that the configuration names and returns what is wrong with them. */
export function fileProblems(check: FileCheck): Problem[] {
  const problems: Problem[] = [];
  for (const key of configKeys(check.schema)) {
    const path = valueAt(check.config, key.path);
    if (key.fileKind === undefined || typeof path !== "string") continue;
    const fault = fileFault(resolve(check.workingDirectory, path), key.fileKind);
    if (fault !== undefined)
      problems.push({
        origin: check.origins.of(key.path),
        path: key.path,
        wanted: fileWanted[key.fileKind],
        got: fault,
      });
  }
  if (problems.length === 0) problems.push(...pairProblems(check));
  return problems;
}

/** Whether a file that a configuration names can be looked at on this machine. */
export function isThere(path: string): boolean {
  return existsSync(path);
}

/** Whether it is there and no directory; links are followed. */
export function isFile(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false })?.isFile() === true;
}

const fileWanted: Record<FileKind, string> = {
  secret: "a file with one secret, private to its owner",
  secrets: "a file with secrets, private to its owner",
  privateKey: "a PEM private key, private to its owner",
  certificate: "a PEM certificate",
  caBundle: "PEM certificates of authorities",
};

/** What is wrong with a file of this kind, without ever quoting it; undefined when nothing is. */
function fileFault(path: string, kind: FileKind): string | undefined {
  try {
    if (kind === "secret") readSecretFile(path);
    else if (kind === "secrets") readPrivateFile(path, SECRETS_BYTES_MAX);
    else if (kind === "privateKey") createPrivateKey(readPrivateFile(path, PEM_BYTES_MAX));
    else for (const pem of pemBlocks(readBounded(path, PEM_BYTES_MAX))) new X509Certificate(pem);
    return undefined;
  } catch (error) {
    if (error instanceof NxError) return error.message;
    return `${path}, which is not a valid ${kind === "privateKey" ? "private key" : "certificate"}`;
  }
}

/**
 * What shows only when the files are taken together: key and certificate belong to each other, and it is
 * valid today.
 */
function pairProblems(check: FileCheck): Problem[] {
  const tls = check.config.tls as Partial<TlsFiles> | undefined;
  if (tls?.cert === undefined || tls.key === undefined) return [];
  const at = (path: string) => resolve(check.workingDirectory, path);
  try {
    loadTls({ cert: at(tls.cert), key: at(tls.key) }, realClock.nowMs());
    return [];
  } catch (error) {
    const got = (error as Error).message.replace(/^tls[.a-z]*: /, "");
    return [
      {
        origin: check.origins.of(["tls"]),
        path: ["tls"],
        wanted: "a certificate that is valid today, with its own key",
        got,
      },
    ];
  }
}

/** The certificates in a PEM text; throws when there is none. */
function pemBlocks(text: string): string[] {
  const blocks = text.match(/-----BEGIN CERTIFICATE-----[\s\S]*?-----END CERTIFICATE-----/g);
  if (blocks === null) throw new Error("no certificate");
  return blocks;
}
