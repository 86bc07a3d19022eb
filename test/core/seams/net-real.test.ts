/** What a listener of the real network hands on to its connections, and whom it does not hand on. */
import { expect, test } from "bun:test";
import type { ListenOptions, Socket } from "../../../src/core/seams/net.ts";
import { realWorld } from "../../../src/core/seams/world-real.ts";
import { connectRaw, until } from "../kernel/harness.ts";

/** Listens until `use` has ended; `opened` are the connections that were handed on. */
async function withListener(
  options: Partial<ListenOptions<undefined>>,
  use: (port: number, opened: Socket[]) => Promise<void>,
): Promise<void> {
  const opened: Socket[] = [];
  const open = (socket: Socket) => void opened.push(socket);
  const handlers = { open, data() {}, drain() {}, close() {} };
  const { net } = realWorld();
  const listener = await net.listen<undefined>({ host: "127.0.0.1", port: 0, handlers, ...options });
  try {
    await use(listener.port, opened);
  } finally {
    listener.stop();
    for (const socket of opened) socket.terminate();
  }
}

/** What the kernel takes at once for a client that does not read. */
async function takenUnread(unsentBytesMax?: number): Promise<number> {
  let taken = 0;
  await withListener(unsentBytesMax === undefined ? {} : { unsentBytesMax }, async (port, opened) => {
    const client = await connectRaw(port, { reads: false });
    const socket = await until("the connection", () => opened[0]);
    const chunk = new Uint8Array(64 * 1024);
    for (let count = chunk.byteLength; count === chunk.byteLength; taken += count)
      count = socket.write(chunk);
    client.socket.terminate();
  });
  return taken;
}

test("a limit of unsent bytes keeps the kernel from taking megabytes for a client that does not read", async () => {
  const limited = await takenUnread(64 * 1024);
  expect(limited).toBeGreaterThan(0);
  expect(limited).toBeLessThan((await takenUnread()) / 2);
});

test("a peer that reset its connection before it was accepted is not heard of, one that ended it is", async () => {
  const script = (ending: string) => `
    const socket = require("node:net").connect(Number(process.argv[1]), "127.0.0.1");
    socket.on("connect", () => socket.write("x", () => socket.${ending}()));
    socket.on("close", () => process.exit(0));
    setTimeout(() => process.exit(0), 500);`;
  await withListener({}, async (port, opened) => {
    // Nothing is accepted meanwhile: this thread waits for the child's end.
    const leave = (ending: string) => Bun.spawnSync([process.execPath, "-e", script(ending), String(port)]);
    leave("resetAndDestroy");
    leave("end");
    await until("the second", () => opened[0]);
    expect(opened.length).toBe(1);
  });
});
