/** Secrets, keys and certificates that a configuration names. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { chmodSync } from "node:fs";
import { join } from "node:path";
import { createAuthority, issueCertificate } from "../../../src/core/certificates.ts";
import { readSecretFile } from "../../../src/core/secret-file.ts";
import { ConfigDirectory } from "./helpers.ts";

const directory = new ConfigDirectory();
const at = (name: string) => join(directory.path, name);
const SECRET = "correct horse battery staple";

beforeAll(async () => {
  const authority = await createAuthority("test", 10, Date.now());
  for (const name of ["one", "two"]) {
    const pair = await issueCertificate(authority, {
      name,
      hosts: ["127.0.0.1"],
      days: 1,
      nowMs: Date.now(),
    });
    directory.write(`${name}.crt`, pair.certificate, 0o644);
    directory.write(`${name}.key`, pair.key, 0o600);
  }
  directory.write("ca.crt", authority.certificate, 0o644);
});
afterAll(() => directory.remove());

test("a secret is the file's line without its line end", () => {
  directory.write("secret", `${SECRET}\n`);
  expect(readSecretFile(at("secret"))).toBe(SECRET);
});

test.each([0o644, 0o604, 0o602, 0o666])(
  "a secret with mode %o is refused, by path and without its contents",
  async (mode) => {
    directory.write("open-secret", SECRET);
    chmodSync(at("open-secret"), mode);
    const [line = ""] = await directory.problems('{ "passwordFile": "open-secret" }');
    expect(line).toBe(
      `dht.json:1:19: passwordFile: wanted a file with one secret, private to its owner, got ${at("open-secret")}, which other users can access (mode 0${mode.toString(8)}): chmod 600 it`,
    );
  },
);

test.each([0o600, 0o400, 0o440])("a secret with mode %o is accepted", async (mode) => {
  directory.write("private-secret", SECRET);
  chmodSync(at("private-secret"), mode);
  expect(await directory.problems('{ "passwordFile": "private-secret" }')).toEqual([]);
  chmodSync(at("private-secret"), 0o600);
});

const secrets: [claim: string, contents: string, fault: string][] = [
  ["empty", "\n", "which is empty"],
  ["of several lines", "a\nb\n", "which has more than one line"],
  ["too long", "x".repeat(70_000), "which is longer than 65536 bytes"],
];

test.each(secrets)("a secret file that is %s is refused", async (_, contents, fault) => {
  directory.write("odd", contents);
  const [line = ""] = await directory.problems('{ "passwordFile": "odd" }');
  expect(line).toEndWith(`got ${at("odd")}, ${fault}`);
  expect(line).not.toContain("xxxx");
});

test("a secret file that is missing, or a directory, is refused", async () => {
  expect((await directory.problems('{ "passwordFile": "none" }'))[0]).toEndWith(
    `got ${at("none")}, which does not exist`,
  );
  expect((await directory.problems('{ "passwordFile": "." }'))[0]).toEndWith(", which is a directory");
});

test("a matching certificate and key are accepted", async () => {
  expect(
    await directory.problems('{ "tls": { "cert": "one.crt", "key": "one.key", "clientCa": "ca.crt" } }'),
  ).toEqual([]);
});

test("a key of another certificate is found before anything starts", async () => {
  expect(await directory.problems('{ "tls": { "cert": "one.crt", "key": "two.key" } }')).toEqual([
    `dht.json:1:10: tls: wanted a certificate that is valid today, with its own key, got the key ${at("two.key")} does not belong to the certificate ${at("one.crt")}`,
  ]);
});

test("a certificate that has ended is found before anything starts", async () => {
  const authority = await createAuthority("old", 10, 0);
  const pair = await issueCertificate(authority, { name: "old", hosts: [], days: 1, nowMs: 0 });
  directory.write("old.crt", pair.certificate);
  directory.write("old.key", pair.key);
  const [line] = await directory.problems('{ "tls": { "cert": "old.crt", "key": "old.key" } }');
  expect(line).toContain("expired on Jan  2 00:00:00 1970");
});

test("a damaged certificate, a key that is none and a readable key are all reported at once", async () => {
  directory.write("bad.crt", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
  directory.write("open.key", "nonsense", 0o644);
  const lines = await directory.problems(
    '{ "tls": { "cert": "bad.crt", "key": "open.key", "clientCa": "one.key" } }',
  );
  expect(lines).toEqual([
    `dht.json:1:20: tls.cert: wanted a PEM certificate, got ${at("bad.crt")}, which is not a valid certificate`,
    `dht.json:1:38: tls.key: wanted a PEM private key, private to its owner, got ${at("open.key")}, which other users can access (mode 0644): chmod 600 it`,
    `dht.json:1:62: tls.clientCa: wanted PEM certificates of authorities, got ${at("one.key")}, which is not a valid certificate`,
  ]);
});
