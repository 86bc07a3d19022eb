/** Getting in: passwords, tokens, credentials files, certificates; and that none of it is ever said. */
import { nkeys } from "@nats-io/transport-node";
import { afterAll, expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createAuthority, issueCertificate } from "../../../src/core/certificates.ts";
import { NatsLink } from "../../../src/core/nats/link.ts";
import { createLog, formatText, logOutput } from "../../../src/core/logging/log.ts";
import { realClock } from "../../../src/core/seams/clock.ts";
import { realRandom } from "../../../src/core/seams/random.ts";
import { until } from "../../e2e/executable.ts";
import { NatsServers } from "./servers.ts";

const directory = mkdtempSync(join(tmpdir(), "node-x-nats-link-"));
afterAll(() => rmSync(directory, { recursive: true, force: true }));

const SECRET = "correct-horse-battery";

function file(name: string, text: string, mode = 0o600): string {
  const path = join(directory, name);
  writeFileSync(path, text, { mode });
  return path;
}

/** A stream made and read by who is let in. */
async function expectService(servers: NatsServers): Promise<void> {
  await servers.addStream("s");
  expect((await servers.session.jetstream.publish("s", "x")).seq).toBe(1);
}

test("a user's password, or a token, is taken from its file", async () => {
  const user = file("user", `node-x:${SECRET}\n`);
  {
    await using servers = await NatsServers.start(
      1,
      `authorization { user: node-x, password: "${SECRET}" }`,
      { userFile: user },
    );
    await expectService(servers);
  }
  await using servers = await NatsServers.start(1, `authorization { token: "${SECRET}" }`, {
    tokenFile: file("token", SECRET),
  });
  await expectService(servers);
}, 120_000);

test("a certificate is shown, and the server's must be of the authority", async () => {
  const authority = await createAuthority("ours", 10, Date.now());
  const pair = await issueCertificate(authority, {
    name: "n",
    hosts: ["127.0.0.1"],
    days: 5,
    nowMs: Date.now(),
  });
  const [ca, cert, key] = [
    file("ca", authority.certificate),
    file("cert", pair.certificate),
    file("key", pair.key),
  ];
  const lines = `tls { cert_file: "${cert}", key_file: "${key}", ca_file: "${ca}", verify: true }`;
  await using servers = await NatsServers.start(1, lines, { tls: { ca, cert, key } });
  await expectService(servers);
  const other = await createAuthority("another", 10, Date.now());
  const refused = linkWith({
    ...servers.settings,
    tls: { ca: file("other-ca", other.certificate), cert, key },
  });
  void refused.link.session().catch(() => undefined);
  await until(
    "the refusal",
    () => refused.lines.some((line) => line.includes("lets this instance in")) || undefined,
  );
  await refused.link.close();
}, 120_000);

/** The part of a JWT that NATS reads, signed by its issuer. */
function jwt(
  issuer: nkeys.KeyPair,
  subject: nkeys.KeyPair,
  name: string,
  nats: Record<string, unknown>,
): string {
  const part = (value: unknown) => Buffer.from(JSON.stringify(value)).toString("base64url");
  const claims = {
    jti: name,
    iat: 1_700_000_000,
    iss: issuer.getPublicKey(),
    name,
    sub: subject.getPublicKey(),
    nats: { version: 2, ...nats },
  };
  const body = `${part({ typ: "JWT", alg: "ed25519-nkey" })}.${part(claims)}`;
  return `${body}.${Buffer.from(issuer.sign(Buffer.from(body))).toString("base64url")}`;
}

test("a credentials file lets in, and nothing of it is in the log", async () => {
  const [operator, account, user, system] = [
    nkeys.createOperator(),
    nkeys.createAccount(),
    nkeys.createUser(),
    nkeys.createAccount(),
  ];
  const unlimited = (...names: string[]) => Object.fromEntries(names.map((name) => [name, -1]));
  const common = unlimited("subs", "data", "payload", "imports", "exports", "conn", "leaf");
  const limits = { ...common, ...unlimited("mem_storage", "disk_storage", "streams", "consumer") };
  const accountJwt = jwt(operator, account, "account", { type: "account", limits });
  const userJwt = jwt(account, user, "user", { type: "user", subs: -1, data: -1, payload: -1 });
  const seed = Buffer.from(user.getSeed()).toString();
  const credentialsFile = file(
    "creds",
    `-----BEGIN NATS USER JWT-----\n${userJwt}\n------END NATS USER JWT------\n\n` +
      `-----BEGIN USER NKEY SEED-----\n${seed}\n------END USER NKEY SEED------\n`,
  );
  const systemJwt = jwt(operator, system, "system", { type: "account", limits: common });
  const lines = [
    `operator: ${jwt(operator, operator, "operator", { type: "operator" })}`,
    `system_account: ${system.getPublicKey()}`,
    "resolver: MEMORY",
    `resolver_preload: { ${account.getPublicKey()}: ${accountJwt}, ${system.getPublicKey()}: ${systemJwt} }`,
  ].join("\n");
  await using servers = await NatsServers.start(1, lines, { credentialsFile });
  await expectService(servers);
  const { link, lines: said } = linkWith({ ...servers.settings, credentialsFile });
  await link.session();
  await link.close();
  expect(said.join("\n")).toContain("connected to NATS");
  expect(said.join("\n")).not.toContain(seed);
}, 120_000);

test("who is not let in says so without the secret, keeps trying, and is let in once the file is right", async () => {
  const lines = `authorization { user: node-x, password: "${SECRET}" }`;
  await using servers = await NatsServers.start(1, lines, { userFile: file("right", `node-x:${SECRET}`) });
  const userFile = file("wrong", "node-x:another-secret");
  const { link, lines: said } = linkWith({ ...servers.settings, userFile });
  const session = link.session();
  await until("a refusal", () => said.some((line) => line.includes("lets this instance in")) || undefined);
  expect(link.trouble).not.toBe("");
  writeFileSync(userFile, `node-x:${SECRET}`);
  await session;
  expect(link.trouble).toBe("");
  await link.close();
  expect(said.join("\n")).not.toMatch(/another-secret|correct-horse/);
}, 120_000);

test("a password that changes is read again when the connection has to be made again", async () => {
  const lines = (password: string) => `authorization { user: node-x, password: "${password}" }`;
  const userFile = file("changing", "node-x:first-secret");
  await using servers = await NatsServers.start(1, lines("first-secret"), { userFile });
  const { link, lines: said } = linkWith({ ...servers.settings, userFile });
  await link.session();
  await servers.kill(0);
  await until("the break", () => link.trouble !== "" || undefined);
  servers.extra = lines("second-secret");
  servers.startMember(0);
  writeFileSync(userFile, "node-x:second-secret");
  await link.session();
  await link.close();
  expect(said.join("\n")).not.toMatch(/(first|second)-secret/);
}, 120_000);

test("a file with a secret that others can read is not used", async () => {
  const { link, lines } = linkWith({ servers: ["127.0.0.1:9"], tokenFile: file("open", SECRET, 0o644) });
  void link.session().catch(() => undefined);
  await until("the reason", () => lines.some((line) => line.includes("other users can access")) || undefined);
  await link.close();
});

function linkWith(settings: NatsServers["settings"]) {
  const lines: string[] = [];
  const log = createLog(
    realClock,
    "test",
    logOutput("trace", [{ sink: { write: (line) => void lines.push(line) }, format: formatText }]),
  );
  return { link: new NatsLink({ settings, clock: realClock, random: realRandom, log, name: "test" }), lines };
}
