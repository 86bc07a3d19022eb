/** `node-x tls`: a private certificate authority for a cluster, without any other program. */
import { resolve } from "node:path";
import { realClock } from "../core/seams/clock.ts";
import { NxError } from "../core/errors.ts";
import { colorsFor, printJson, printTable } from "./print.ts";
import { usageError } from "./strict.ts";
import { TlsDirectory } from "./tls-files.ts";
import { defineVerb } from "./verb.ts";

const DEFAULT_DIRECTORY = "tls";
const DAYS_MAX = 36_500;
const DAY_MS = 24 * 60 * 60 * 1000;

function days(text: string, path: string[]): number {
  const value = /^\d{1,5}$/.test(text) ? Number(text) : 0;
  if (value < 1 || value > DAYS_MAX)
    throw usageError(`wanted a number of days from 1 to ${DAYS_MAX}, got "${text}"`, path);
  return value;
}

function checkName(name: string): void {
  if (!/^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/.test(name) || name === "ca") {
    throw usageError(
      `wanted a name of letters, digits, dots, dashes and underscores other than "ca", got "${name}"`,
      ["tls", "issue"],
    );
  }
}

const directoryArgument = {
  type: "positional",
  required: false,
  description: `The authority's directory (default: ${DEFAULT_DIRECTORY})`,
} as const;
const jsonArgument = { type: "boolean", description: "Print JSON" } as const;

const caVerb = defineVerb({
  name: "ca",
  summary: "Make a certificate authority: ca.crt to give to everyone, ca.key to keep",
  args: {
    directory: directoryArgument,
    name: { type: "string", valueHint: "NAME", default: "node-x", description: "The authority's name" },
    days: { type: "string", valueHint: "DAYS", default: "3650", description: "How long it is valid" },
    json: jsonArgument,
  },
  examples: [
    { command: "node-x tls ca tls --name demo", shows: "Write tls/ca.crt and tls/ca.key (mode 0600)" },
  ],
  async run({ args, stdout, workingDirectory }) {
    const { createAuthority } = await import("../core/certificates.ts");
    const directory = new TlsDirectory(resolve(workingDirectory, args.directory ?? DEFAULT_DIRECTORY));
    if (directory.hasAuthority()) {
      throw new NxError("NX_FILE_EXISTS", `${directory.path} has an authority already`, {
        hint: "replacing it would make every certificate it signed worthless; use another directory",
      });
    }
    directory.writeAuthority(
      await createAuthority(args.name, days(args.days, ["tls", "ca"]), realClock.nowMs()),
    );
    const written = [directory.certificatePath("ca"), directory.keyPath("ca")];
    if (args.json) printJson(stdout, { written });
    else for (const path of written) stdout.write(`${path}\n`);
    return 0;
  },
});

const issueVerb = defineVerb({
  name: "issue",
  summary: "Issue a certificate for an instance or a client",
  description:
    "Valid for servers and clients. Peers know the holder as node-x:NAME; clients check the hosts.",
  args: {
    name: {
      type: "positional",
      required: true,
      description: "Whom it stands for, such as an instance's name",
    },
    directory: directoryArgument,
    host: {
      type: "string",
      valueHint: "HOST",
      description: "A host name or IP address that clients connect to; may be repeated",
    },
    days: { type: "string", valueHint: "DAYS", default: "90", description: "How long it is valid" },
    json: jsonArgument,
  },
  repeatable: ["host"],
  examples: [
    {
      command: "node-x tls issue local.dht0 tls --host 127.0.0.1 --host localhost",
      shows: "Write tls/local.dht0.crt and .key",
    },
    { command: "node-x tls issue alice tls --days 30", shows: "A certificate for a client" },
  ],
  async run(call) {
    const { args, stdout, workingDirectory } = call;
    const { issueCertificate } = await import("../core/certificates.ts");
    checkName(args.name);
    const hosts = call.all("host");
    for (const host of hosts) {
      if (!/^[A-Za-z0-9.:*-]{1,253}$/.test(host))
        throw usageError(`--host: wanted a host name or IP address, got "${host}"`, ["tls", "issue"]);
    }
    const directory = new TlsDirectory(resolve(workingDirectory, args.directory ?? DEFAULT_DIRECTORY));
    if (directory.has(args.name)) {
      throw new NxError("NX_FILE_EXISTS", `${directory.path} has a certificate for ${args.name} already`, {
        hint: "`node-x tls rotate` replaces certificates",
      });
    }
    const options = {
      name: args.name,
      hosts,
      days: days(args.days, ["tls", "issue"]),
      nowMs: realClock.nowMs(),
    };
    directory.write(args.name, await issueCertificate(directory.authority(), options));
    const written = [directory.certificatePath(args.name), directory.keyPath(args.name)];
    if (args.json) printJson(stdout, { written });
    else for (const path of written) stdout.write(`${path}\n`);
    return 0;
  },
});

const rotateVerb = defineVerb({
  name: "rotate",
  summary: "Issue again, with a new key, every certificate that ends soon",
  description:
    "Names, hosts and length of validity stay. A certificate whose key does not match it (after a crash) is issued again too. " +
    "Restart the instances that use them afterwards.",
  args: {
    directory: directoryArgument,
    "within-days": {
      type: "string",
      valueHint: "DAYS",
      default: "30",
      description: "Those that end within this many days",
    },
    all: { type: "boolean", description: "All of them" },
    json: jsonArgument,
  },
  examples: [
    { command: "node-x tls rotate tls", shows: "Renew what ends within 30 days" },
    { command: "node-x tls rotate tls --all", shows: "Renew everything, after a key may have leaked" },
  ],
  async run({ args, stdout, environment, workingDirectory }) {
    const { issueCertificate, isIssuedBy, readCertificate } = await import("../core/certificates.ts");
    const withinMs = days(args["within-days"], ["tls", "rotate"]) * DAY_MS;
    const directory = new TlsDirectory(resolve(workingDirectory, args.directory ?? DEFAULT_DIRECTORY));
    const authority = directory.authority();
    const nowMs = realClock.nowMs();
    const rows: { name: string; isRotated: boolean; validUntil: string }[] = [];
    for (const name of directory.names()) {
      const facts = readCertificate(directory.certificate(name), directory.certificatePath(name));
      const isWhole =
        directory.isPair(name) && isIssuedBy(directory.certificate(name), authority.certificate);
      const isRotated = args.all === true || !isWhole || facts.notAfterMs - nowMs < withinMs;
      const lengthDays = Math.max(1, Math.round((facts.notAfterMs - facts.notBeforeMs) / DAY_MS));
      if (isRotated)
        directory.write(
          name,
          await issueCertificate(authority, { name, hosts: facts.hosts, days: lengthDays, nowMs }),
        );
      const validUntilMs = isRotated ? nowMs + lengthDays * DAY_MS : facts.notAfterMs;
      rows.push({ name, isRotated, validUntil: new Date(validUntilMs).toISOString() });
    }
    const authorityEndMs = readCertificate(authority.certificate, directory.certificatePath("ca")).notAfterMs;
    if (args.json)
      printJson(stdout, { authorityValidUntil: new Date(authorityEndMs).toISOString(), certificates: rows });
    else {
      const cells = rows.map((row) => [row.name, row.isRotated ? "rotated" : "kept", row.validUntil]);
      printTable(stdout, ["CERTIFICATE", "WHAT", "VALID UNTIL"], cells, colorsFor(stdout, environment));
    }
    return 0;
  },
});

export const tlsVerb = defineVerb({
  name: "tls",
  summary: "Keep a private certificate authority: make it, issue certificates, rotate them",
  examples: [
    { command: "node-x tls ca", shows: "Make an authority in ./tls" },
    { command: "node-x tls issue local.dht0 --host 127.0.0.1", shows: "Issue a certificate" },
  ],
  subVerbs: {
    ca: async () => caVerb,
    issue: async () => issueVerb,
    rotate: async () => rotateVerb,
  },
});
