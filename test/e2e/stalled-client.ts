/** A client of the client protocol that does not read: it says hello and what else it is given, and takes nothing until it resumes. */
import { connect, type Socket } from "node:net";
import { encodeClientMessage } from "../../src/reactive/client-wire/codec.ts";
import { type ClientMessage, CONNECT_PATH } from "../../src/reactive/client-wire/messages.ts";

/** One masked binary message of RFC 6455, of at most 125 bytes; the mask is zero. */
function frameOf(message: ClientMessage): Buffer {
  const payload = encodeClientMessage(message);
  return Buffer.concat([Buffer.from([0x82, 0x80 | payload.byteLength, 0, 0, 0, 0]), payload]);
}

export async function stalledClient(port: number, messages: readonly ClientMessage[]): Promise<Socket> {
  const socket = connect(port, "127.0.0.1");
  socket.on("error", () => {});
  socket.pause();
  socket.write(
    `GET ${CONNECT_PATH} HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n` +
      "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n",
  );
  // What comes before the upgrade was answered is not read as messages.
  await Bun.sleep(100);
  socket.write(frameOf({ type: "hello", protocols: [1], client: 5, token: "", unackedMax: 64 }));
  for (const message of messages) socket.write(frameOf(message));
  return socket;
}

/** It reads and acknowledges everything; resolves when a text has come. */
export async function resume(socket: Socket, text: string): Promise<void> {
  let last = "";
  const arrived = new Promise<void>((resolve, reject) => {
    socket.on("data", (chunk: Buffer) => {
      last = last.slice(-text.length) + chunk.toString("latin1");
      if (last.includes(text)) resolve();
    });
    socket.on("close", () => reject(new Error("a client that resumed was closed")));
  });
  socket.write(frameOf({ type: "ack", at: Number.MAX_SAFE_INTEGER - 1 }));
  socket.resume();
  await arrived;
}
