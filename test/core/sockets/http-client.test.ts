/** What somebody reads when an HTTP exchange does not come about. */
import { expect, test } from "bun:test";
import { httpExchange } from "../../../src/core/sockets/http-client.ts";

const reasonOf = async (url: string): Promise<string> => {
  const exchange = { url, deadlineMs: 10_000, answerBytesMax: 100 };
  return httpExchange(exchange).then(
    () => "an answer",
    (error: Error) => error.message,
  );
};

test("a port where nobody listens is told in plain words, not as a question of the runtime's", async () => {
  const gone = Bun.listen({ hostname: "127.0.0.1", port: 0, socket: { data() {} } });
  const url = `http://127.0.0.1:${gone.port}/`;
  gone.stop(true);
  expect(await reasonOf(url)).toBe(`${url}: nobody listens there (ECONNREFUSED)`);
});

test("a connection that ends before an answer, and one that speaks no TLS", async () => {
  const rude = Bun.listen({
    hostname: "127.0.0.1",
    port: 0,
    socket: { open: (socket) => void socket.terminate(), data() {} },
  });
  expect(await reasonOf(`http://127.0.0.1:${rude.port}/`)).toContain("closed before there was an answer");
  rude.stop(true);
  const plain = Bun.listen({
    hostname: "127.0.0.1",
    port: 0,
    socket: { data: (socket) => void socket.end("hello\r\n") },
  });
  expect(await reasonOf(`https://127.0.0.1:${plain.port}/`)).toContain("is TLS spoken there? (EPROTO)");
  plain.stop(true);
});
