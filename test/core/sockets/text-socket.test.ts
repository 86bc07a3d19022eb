/** Sockets for text, on real sockets: what clients may send, and what may be at the path already. */
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { existsSync, linkSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { NxError } from "../../../src/core/errors.ts";
import { createLog, logOutput } from "../../../src/core/logging/log.ts";
import { realClock, sleep } from "../../../src/core/seams/clock.ts";
import { realNet } from "../../../src/core/seams/net-real.ts";
import { SimClock } from "../../../src/core/sim/clock.ts";
import { Scheduler } from "../../../src/core/sim/scheduler.ts";
import { TextSocket } from "../../../src/core/sockets/text-socket.ts";
import { ask } from "./text-client.ts";

let directory: string;
let path: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "node-x-text-"));
  path = join(directory, "node.socket");
});
const open: TextSocket[] = [];
afterEach(() => {
  for (const socket of open.splice(0)) socket.close();
  rmSync(directory, { recursive: true, force: true });
});

const names = Array.from({ length: 20_000 }, (_, index) => `${index}`.padStart(100, "n")).join("\n");

async function listen(at = path, mode = 0o600, clock = realClock): Promise<TextSocket> {
  const socket = new TextSocket({
    net: realNet,
    clock,
    log: createLog(realClock, "test", logOutput("info", [])),
    path: at,
    mode,
    commands: {
      say: { summary: "says it", run: (words) => words.join("|") },
      names: { summary: "many", run: () => names },
      fail: {
        summary: "fails",
        run: () => {
          throw new NxError("NX_SECRET_UNUSABLE", "no such file", { hint: "make it" });
        },
      },
    },
  });
  open.push(socket);
  await socket.listen();
  return socket;
}

describe("a text socket", () => {
  test("answers each line, also one with blanks around, or without its end", async () => {
    await listen();
    expect(await ask(path, "say  a\tb \r\n\nsay\nsay c")).toBe("a|b\n\nc\n");
    expect(await ask(path, "")).toBe("");
    expect(await ask(path, "help\n")).toBe("say: says it\nnames: many\nfail: fails\n");
  });

  test("puts a line together that comes byte by byte", async () => {
    await listen();
    const heard = Promise.withResolvers<string>();
    const client = await Bun.connect({
      unix: path,
      socket: { data: (_, chunk) => heard.resolve(chunk.toString()) },
    });
    for (const byte of "say hello\n") {
      client.write(byte);
      client.flush();
      await Bun.sleep(1);
    }
    expect(await heard.promise).toBe("hello\n");
    client.end();
  });

  test("says what it does not know and what failed, and goes on", async () => {
    await listen();
    const unknown = "Command not found: up?[2Jdate\n";
    expect(await ask(path, "up\x1b[2Jdate x\nconstructor\nfail\nsay on\n")).toBe(
      `${unknown}Command not found: constructor\nError: no such file (make it)\non\n`,
    );
  });

  test("sends a list that the kernel does not take at once, to a client that has said all it wanted", async () => {
    await listen();
    expect(await ask(path, "names\n")).toBe(`${names}\n`);
  });

  test("ends a line beyond 4096 bytes, whether it comes in one piece or not, and no one else's", async () => {
    await listen();
    const refusal = "Error: a line has at most 4096 bytes\n";
    const word = "x".repeat(4092);
    expect(await ask(path, `say ${word}\nsay x${word}\nsay never\n`)).toBe(`${word}\n${refusal}`);
    expect(await ask(path, new Uint8Array(1 << 20))).toBe(refusal);
    expect(await ask(path, "say a\n")).toBe("a\n");
  });

  test("refuses the 33rd client, and takes another when one has left", async () => {
    await listen();
    const clients = await Promise.all(
      Array.from({ length: 32 }, () => Bun.connect({ unix: path, socket: { data() {} } })),
    );
    const refusal = "Error: there are 32 connections already\n";
    expect(await ask(path, "say a\n")).toBe(refusal);
    clients[0]?.end();
    while ((await ask(path, "say a\n")) === refusal) await Bun.sleep(1);
    expect(await ask(path, "say a\n")).toBe("a\n");
    for (const client of clients) client.end();
  });
});

describe("the socket's file", () => {
  const code = (at = path) => listen(at).catch((error: NxError) => error.code);

  test("has the mode that was asked for, and is gone after an orderly end", async () => {
    const first = await listen();
    expect(statSync(path).mode & 0o7777).toBe(0o600);
    first.close();
    expect(existsSync(path)).toBe(false);
    await listen(path, 0o660);
    expect(statSync(path).mode & 0o7777).toBe(0o660);
  });

  test("of a dead process is replaced", async () => {
    const dying = join(directory, "dying");
    const first = await listen(dying);
    linkSync(dying, path); // stays when the listener goes, as after a kill
    first.close();
    await expect(Bun.connect({ unix: path, socket: { data() {} } })).rejects.toMatchObject({
      code: "ECONNREFUSED",
    });
    await listen();
    expect(await ask(path, "say again\n")).toBe("again\n");
  });

  test("of a living one is refused and left alone", async () => {
    await listen();
    expect(await code()).toBe("NX_LISTEN_IN_USE");
    expect(await ask(path, "say still here\n")).toBe("still|here\n");
  });

  test("is not made where something else is, where no directory is, or with a path too long", async () => {
    writeFileSync(path, "somebody's");
    expect(await code()).toBe("NX_LISTEN_DENIED");
    expect(readFileSync(path, "utf8")).toBe("somebody's");
    await expect(listen(join(directory, "no/x"))).rejects.toThrow(/no\/x: ENOENT/);
    const tooLong = join(directory, "x".repeat(107 - directory.length));
    await expect(listen(tooLong)).rejects.toThrow(/at most 107 bytes, this one 108/);
    await listen(tooLong.slice(0, -1));
  });
});

test("a client that says nothing for a minute loses its place", async () => {
  const scheduler = new Scheduler(1);
  const closed = Promise.withResolvers<string>();
  await listen(path, 0o600, new SimClock(scheduler));
  await Bun.connect({ unix: path, socket: { data() {}, close: () => closed.resolve("closed") } });
  expect(await ask(path, "say a\n")).toBe("a\n"); // so the one before is in, too
  scheduler.run(() => sleep(new SimClock(scheduler), 62_000));
  expect(await closed.promise).toBe("closed");
});
