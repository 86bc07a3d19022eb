/** HELLO, AUTH and RESET: who the client is and which protocol version it speaks. */
import { timingSafeEqual, createHash } from "node:crypto";
import { compatibleVersion } from "./info.ts";
import type { AdminCall } from "./host.ts";
import { readInteger, type ReplyWriter } from "./reply.ts";

const wrongPassword = "WRONGPASS invalid username-password pair or user is disabled.";
const notAuthenticated =
  "NOAUTH HELLO must be called with the client already authenticated, " +
  "otherwise the HELLO AUTH <user> <pass> " +
  "option can be used to authenticate the client and select the RESP protocol version at the same time";

/** The only user is `default`. Compares in constant time; without a configured password any is right. */
function isRight({ host }: AdminCall, user: Buffer, password: Buffer): boolean {
  const digest = (bytes: Uint8Array | string) => createHash("sha256").update(bytes).digest();
  const expected = host.password();
  const userIsRight = user.equals(Buffer.from("default"));
  if (expected === undefined) return userIsRight;
  return timingSafeEqual(digest(expected), digest(password)) && userIsRight;
}

export function authCommand(call: AdminCall, reply: ReplyWriter): void {
  const { host, session, words } = call;
  if (words.length > 3) {
    reply.error("ERR syntax error");
    return;
  }
  const password = words.at(-1) as Buffer;
  if (words.length === 2 && host.password() === undefined) {
    reply.error(
      "ERR AUTH <password> called without any password configured for the default user. " +
        "Are you sure your configuration is correct?",
    );
    return;
  }
  const user = words.length === 3 ? (words[1] as Buffer) : Buffer.from("default");
  if (!isRight(call, user, password)) {
    reply.error(wrongPassword);
    return;
  }
  host.engine.setAuthenticated(session.connection, true);
  session.authenticated = true;
  reply.status("OK");
}

/** Names may hold printable ASCII only, without blanks. */
export function nameIsValid(name: Buffer): boolean {
  return name.every((byte) => byte >= 0x21 && byte <= 0x7e);
}

export const invalidName = "ERR Client names cannot contain spaces, newlines or special characters.";

/** HELLO [protover [AUTH user password] [SETNAME name]] */
export function helloCommand(call: AdminCall, reply: ReplyWriter): void {
  const { host, session, words } = call;
  let version: 2 | 3 = reply.protocol;
  let index = 1;
  if (words.length > 1) {
    const asked = readInteger(words[1] as Buffer);
    if (asked === undefined) {
      reply.error("ERR Protocol version is not an integer or out of range");
      return;
    }
    if (asked !== 2 && asked !== 3) {
      reply.error("NOPROTO unsupported protocol version");
      return;
    }
    version = asked;
    index = 2;
  }
  let name: Buffer | undefined;
  let authenticated = session.authenticated;
  for (; index < words.length; index++) {
    const option = (words[index] as Buffer).toString();
    const left = words.length - index - 1;
    if (option.toLowerCase() === "auth" && left >= 2) {
      if (!isRight(call, words[index + 1] as Buffer, words[index + 2] as Buffer)) {
        reply.error(wrongPassword);
        return;
      }
      authenticated = true;
      index += 2;
    } else if (option.toLowerCase() === "setname" && left >= 1) {
      name = words[index + 1] as Buffer;
      if (!nameIsValid(name)) {
        reply.error(invalidName);
        return;
      }
      index += 1;
    } else {
      reply.error(`ERR Syntax error in HELLO option '${option}'`);
      return;
    }
  }
  host.engine.setAuthenticated(session.connection, authenticated);
  session.authenticated = authenticated;
  if (!authenticated) {
    reply.error(notAuthenticated);
    return;
  }
  if (name !== undefined) session.name = name.toString("latin1");
  host.engine.setProtocol(session.connection, version);
  reply.protocol = version;
  reply
    .map(7)
    .bulk("server")
    .bulk("redis")
    .bulk("version")
    .bulk(compatibleVersion)
    .bulk("proto")
    .integer(version)
    .bulk("id")
    .integer(session.id)
    .bulk("mode")
    .bulk("standalone")
    .bulk("role")
    .bulk("master")
    .bulk("modules")
    .array(0);
}

export function resetCommand({ host, session }: AdminCall, reply: ReplyWriter): void {
  host.engine.resetConnection(session.connection);
  session.authenticated = host.password() === undefined;
  session.name = "";
  reply.status("RESET");
}
