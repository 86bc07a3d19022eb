/**
 * A lookup server that lies, as a process of its own: stands before a real one and spoils what it answers.
 *
 *   bun test/e2e/byzantine-server.ts URL BEHAVIOUR     prints its port, then serves until it is killed
 *
 * Metadata passes untouched, unless the behaviour is about metadata: what is tested is wrong answers to queries.
 */

/** Each spoils the answer to a query or a download (status, body); `undefined` handles the exchange by itself. */
const behaviours: Record<string, (body: Uint8Array, request: Uint8Array) => Promise<Response> | Response> = {
  honest: (body) => binary(body),
  random: (body) => binary(randomFrom(body, 5)),
  oneByte: (body) => {
    body[5 + Math.floor((body.length - 5) / 2)]! ^= 1;
    return binary(body);
  },
  short: (body) => binary(body.subarray(0, 9)),
  error: (body) => binary(Uint8Array.of(0x80, ...body.subarray(1, 5))),
  wrongEpoch: (body) => {
    body[4]! ^= 1;
    return binary(body);
  },
  wrongLength: (body) => binary(body.subarray(0, -1)),
  /** Ten times as long as announced by the protocol, without a length. */
  endless: (body) =>
    new Response(
      new ReadableStream({
        async pull(controller) {
          controller.enqueue(body.slice());
          await Bun.sleep(1);
        },
      }),
    ),
  /** One byte a second. */
  slow: (body) => {
    let at = 0;
    return new Response(
      new ReadableStream({
        async pull(controller) {
          controller.enqueue(body.slice(at, ++at));
          await Bun.sleep(1000);
        },
      }),
    );
  },
  internalError: () => new Response("broken", { status: 500 }),
  /** The answers are right, but to the queries in another order. */
  otherQuery: (body, request) => {
    const count = (request[5]! << 8) | request[6]!;
    const row = (body.length - 5) / count;
    const shifted = body.slice();
    for (let query = 0; query < count; query++)
      shifted.set(body.subarray(5 + query * row, 5 + (query + 1) * row), 5 + ((query + 1) % count) * row);
    return binary(shifted);
  },
  badMetadata: (body) => binary(body),
};

const binary = (body: Uint8Array) => new Response(new Uint8Array(body));

function randomFrom(body: Uint8Array, from: number): Uint8Array {
  for (let at = from; at < body.length; at += 65_536) crypto.getRandomValues(body.subarray(at, at + 65_536));
  return body;
}

if (import.meta.main) {
  const [, , upstream = "", behaviour = "honest"] = process.argv;
  const spoil = behaviours[behaviour];
  if (spoil === undefined) throw new Error(`no behaviour ${behaviour}`);
  const server = Bun.serve({
    hostname: "127.0.0.1",
    port: 0,
    idleTimeout: 0,
    async fetch(request) {
      const body = new Uint8Array(await request.arrayBuffer());
      const url = `${upstream}${new URL(request.url).pathname}`;
      const answer = await fetch(url, { method: request.method, ...(body.length > 0 && { body }) });
      const bytes = new Uint8Array(await answer.arrayBuffer());
      if (body[0] === 0xff && behaviour === "badMetadata") {
        bytes[48]! ^= 1;
        return binary(bytes);
      }
      if (answer.status !== 200 || (body[0] !== 0xfe && body[0] !== 0xfd))
        return new Response(bytes, { status: answer.status });
      return spoil(bytes, body);
    },
  });
  console.log(server.port);
}

/** A server that resets the connection in the middle of the TLS handshake, gone when the test ends. */
export function resettingServer(): Disposable & { url: string } {
  const listener = Bun.listen({
    hostname: "127.0.0.1",
    port: 0,
    socket: { data: (socket) => void socket.terminate() },
  });
  return { url: `https://127.0.0.1:${listener.port}`, [Symbol.dispose]: () => listener.stop(true) };
}

/** A liar in front of `upstream`, gone when the test ends. */
export class ByzantineServer implements Disposable {
  readonly #child: Bun.Subprocess<"ignore", "pipe", "inherit">;
  url = "";

  private constructor(child: Bun.Subprocess<"ignore", "pipe", "inherit">) {
    this.#child = child;
  }

  static async start(upstream: string, behaviour: string): Promise<ByzantineServer> {
    const child = Bun.spawn([process.execPath, import.meta.path, upstream, behaviour], {
      stdin: "ignore",
      stdout: "pipe",
      stderr: "inherit",
    });
    const server = new ByzantineServer(child);
    const reader = child.stdout.getReader();
    const { value } = await reader.read();
    server.url = `http://127.0.0.1:${new TextDecoder().decode(value).trim()}`;
    return server;
  }

  [Symbol.dispose](): void {
    this.#child.kill("SIGKILL");
  }
}
