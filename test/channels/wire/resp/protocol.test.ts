/** Bytes that are not well-formed requests, and requests cut at every place. */
import { describe, expect, test } from "bun:test";
import { RespFlag } from "../../../../src/native/resp.ts";
import { threadCpuMs } from "../../../../src/native/system.ts";
import { encode, RawClient } from "./raw.ts";
import { startRedis } from "./redis.ts";
import { steps, scripts } from "./scripts.ts";
import { openTestService } from "./service.ts";
import { startTestServer } from "./server.ts";

const quit = "*1\r\n$4\r\nQUIT\r\n";
const long = (length: number) => "x".repeat(length);

/** Each ends the connection, by QUIT or by the server. */
const inputs: Record<string, string> = {
  "inline PING": "PING\r\n",
  "inline with bare LF": "PING\nPING\n",
  "inline words and blanks": '  SET  a   b  \r\nGET a\r\n\r\n   \r\nGET\t"a"\r\n',
  "inline quotes": `SET "a b" 'c d'\r\nGET "a b"\r\nSET x "\\x41\\n\\t\\"\\\\\\q"\r\nGET x\r\nSET y 'it\\'s \\n'\r\nGET y\r\n`,
  "inline unbalanced quotes": 'SET "a b\r\n',
  "inline quote not followed by a blank": 'SET "a"b c\r\n',
  "inline quote inside a word": `SET a"b c"\r\nSET a"b" c\r\nGET ab\r\n`,
  "inline unknown command": "FOO bar\r\n",
  "inline mixed with arrays": "PING\r\n*1\r\n$4\r\nPING\r\nECHO hi\r\n",
  "empty array": "*0\r\nPING\r\n",
  "negative array": "*-1\r\n*-5\r\nPING\r\n",
  "array count is not a number": "*x\r\n",
  "array count with blanks": "* 1\r\n$4\r\nPING\r\n",
  "array count empty": "*\r\n",
  "array count with a leading zero": "*01\r\n$4\r\nPING\r\n",
  "array count too large": "*2147483648\r\n",
  "array count huge": "*99999999999999999999\r\n",
  "bulk expected": "*1\r\nPING\r\n",
  "bulk expected, got a number": "*1\r\n:5\r\n",
  "bulk expected, got nothing": "*1\r\n\r\n\r\n",
  "bulk length is not a number": "*1\r\n$x\r\n",
  "bulk length negative": "*1\r\n$-1\r\n",
  "bulk length empty": "*1\r\n$\r\n",
  "bulk length with a plus": "*1\r\n$+4\r\nPING\r\n",
  "bulk length with a leading zero": "*1\r\n$04\r\nPING\r\n",
  "bulk length of 10 GB": "*2\r\n$3\r\nGET\r\n$10737418240\r\n",
  "bulk length over int64": "*2\r\n$3\r\nGET\r\n$99999999999999999999\r\n",
  "bulk data not followed by CRLF": "*1\r\n$4\r\nPINGxx*1\r\n$4\r\nPING\r\n",
  "replies before an error are kept":
    "*1\r\n$4\r\nPING\r\n*2\r\n$4\r\nECHO\r\n$2\r\nhi\r\n*1\r\n$x\r\n*1\r\n$4\r\nPING\r\n",
  "a long inline request": `${long(200_000)}`,
  "a long count": `*${long(200_000)}`,
  "a long bulk length": `*1\r\n$${long(200_000)}`,
  "empty command": "*1\r\n$0\r\n\r\n",
  "an HTTP header": "Host: localhost\r\n\r\nPING\r\n",
  "an HTTP post": "POST / HTTP/1.1\r\nPING\r\n",
};

describe("malformed input is answered like redis-server", () => {
  for (const password of [undefined, "secret"]) {
    test(
      password === undefined ? "by an authenticated client" : "by an unauthenticated client",
      async () => {
        await using redis = await startRedis(password === undefined ? [] : ["--requirepass", password]);
        await using ours = await startTestServer(password === undefined ? {} : { password });
        const cases = {
          ...inputs,
          "eleven arguments": `*11\r\n${"$1\r\na\r\n".repeat(11)}`,
          "ten arguments": `*10\r\n${"$1\r\na\r\n".repeat(10)}`,
          "16385 bytes": `*2\r\n$4\r\nECHO\r\n$16385\r\n${long(16385)}\r\n`,
          "16384 bytes": `*2\r\n$4\r\nECHO\r\n$16384\r\n${long(16384)}\r\n`,
          "wrong password":
            "AUTH nope\r\nPING\r\nAUTH default nope\r\nAUTH other secret\r\nHELLO 3\r\nHELLO 3 AUTH default nope\r\n",
          "right password": "AUTH secret\r\nPING\r\nRESET\r\nPING\r\nAUTH default secret\r\nPING\r\n",
          "commands before authentication":
            "GET a\r\nMULTI\r\nEXEC\r\nEXEC x\r\nNOSUCH\r\nCLIENT ID\r\nCOMMAND COUNT\r\nGET\r\n",
        };
        for (const [title, input] of Object.entries(cases)) {
          const outputs: string[] = [];
          for (const port of [redis.port, ours.port]) {
            await using client = await RawClient.connect(port);
            client.send(Buffer.from(`${input}${quit}`, "latin1"));
            const all = (await client.untilClosed()).toString("latin1");
            outputs.push(
              `${title}: ${all.replace(/(\$2\r\nid\r\n):\d+/g, "$1:N").replace(/^:\d+\r\n/gm, ":N\r\n")}`,
            );
          }
          expect(outputs[1]).toBe(outputs[0] as string);
        }
      },
      120_000,
    );
  }
});

describe("chunks", () => {
  /** Replies to `bytes` fed in pieces that end at `cuts`. */
  function replies(bytes: Buffer, cuts: number[]): string {
    const { engine, service, close } = openTestService();
    const session = service.open("test", "test");
    const out: Buffer[] = [];
    let start = 0;
    let flags = 0;
    for (const end of [...cuts, bytes.byteLength]) {
      flags = service.receive(session, bytes.subarray(start, end));
      out.push(Buffer.from(engine.replies()));
      start = end;
    }
    service.close(session);
    close();
    return `${Buffer.concat(out).toString("latin1")}${(flags & RespFlag.Close) !== 0 ? "(close)" : ""}`;
  }

  const streams = {
    MULTI: Buffer.concat(steps(scripts.MULTI ?? "").map(({ words }) => encode(words))),
    "APPEND STRLEN GETRANGE SETRANGE": Buffer.concat(
      steps(scripts["APPEND STRLEN GETRANGE SETRANGE"] ?? "").map(({ words }) => encode(words)),
    ),
    inline: Buffer.from(
      Object.values(inputs).slice(0, 4).join("") + inputs["inline quotes"] + "*1\r\n$x\r\n",
      "latin1",
    ),
  };
  for (const [title, bytes] of Object.entries(streams)) {
    test(`${title}: cut in two at any place, replies stay the same`, () => {
      const whole = replies(bytes, []);
      expect(whole.length).toBeGreaterThan(0);
      for (let cut = 1; cut < bytes.byteLength; cut++) {
        if (replies(bytes, [cut]) !== whole) throw new Error(`differs when cut at ${cut}`);
      }
      const each = Array.from({ length: bytes.byteLength - 1 }, (_, index) => index + 1);
      expect(replies(bytes, each)).toBe(whole);
    });
  }

  test("a million arguments in 64 KiB chunks cost time linear in their number", () => {
    const { engine, service, close } = openTestService();
    const session = service.open("test", "test");
    const durationMs = (pairs: number) => {
      const words = ["MSET"];
      for (let index = 0; index < pairs; index++) words.push(`k${index}`, "v");
      const head = Buffer.from(`*${words.length}\r\n`);
      const bytes = Buffer.concat([
        head,
        Buffer.from(words.map((word) => `$${word.length}\r\n${word}\r\n`).join("")),
      ]);
      // Of this thread's processor alone: others may want it too.
      const start = threadCpuMs();
      for (let at = 0; at < bytes.byteLength; at += 65_536)
        service.receive(session, bytes.subarray(at, at + 65_536));
      expect(Buffer.from(engine.replies()).toString()).toBe("+OK\r\n");
      return threadCpuMs() - start;
    };
    durationMs(1000);
    const [small, large] = [durationMs(50_000), durationMs(500_000)];
    console.log(`MSET of 100 k and 1 M arguments: ${small.toFixed(0)} ms, ${large.toFixed(0)} ms`);
    // Quadratic cost would be a factor of 100.
    expect(large / Math.max(small, 5)).toBeLessThan(40);
    service.close(session);
    close();
  });
});
