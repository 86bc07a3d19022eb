/** The recorded conversations of test/vectors/walb/captures: read, and replayed against a server of ours. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { Conversation } from "../../src/backup/wire/conversation.ts";
import type { World } from "../../src/core/role.ts";
import { vectorDirectory } from "./vectors.ts";

const directory = join(vectorDirectory, "captures");

export interface Step {
  from: "client" | "server";
  bytes: Buffer;
  comment: string;
}

function bytesOf(text: string): Buffer {
  const parts = text.trim().split(/\s+/);
  return Buffer.concat(
    parts.map((part) =>
      part.startsWith("@") ? readFileSync(join(directory, part.slice(1))) : Buffer.from(part, "hex"),
    ),
  );
}

/** The conversations of one file, in their order. */
export function conversationsOf(name: string): Step[][] {
  return readFileSync(join(directory, name), "utf8")
    .split(/^# --- next conversation$/m)
    .map((text) =>
      text
        .split("\n")
        .filter((line) => /^[<>] /.test(line))
        .map((line): Step => {
          const [bytes = "", comment = ""] = line.slice(2).split(";");
          return {
            from: line[0] === ">" ? "client" : "server",
            bytes: bytesOf(bytes),
            comment: comment.trim(),
          };
        }),
    )
    .filter((steps) => steps.length > 0);
}

/** The first line of an answer is what counts: behind it the original sends addresses of its stack. */
function withoutStack(bytes: Buffer): string {
  const at = bytes.indexOf("\n<<<STACKTRACE>>>");
  return at < 0 ? bytes.toString("hex") : bytes.subarray(2, at).toString();
}

/** Plays the client; throws at the first answer that differs from the recorded one. */
export async function replay(world: World, port: number, steps: readonly Step[]): Promise<void> {
  const options = { clock: world.clock, timeoutMs: 5000 };
  const conversation = await Conversation.connect(world.net, "127.0.0.1", port, options);
  try {
    for (const { from, bytes, comment } of steps) {
      if (from === "client") {
        await conversation.send(bytes);
        continue;
      }
      const isRefusal = bytes.includes("\n<<<STACKTRACE>>>");
      // The opening's refusal comes behind the server's name.
      const name = isRefusal && comment.startsWith("server id") ? 1 + (bytes[0] as number) : 0;
      if (name > 0 && !bytes.subarray(0, name).equals(await conversation.take(name)))
        throw new Error("another name");
      const recorded = withoutStack(bytes.subarray(name));
      // A refusal of ours is as long as its first line: its length is in one byte or two.
      const got = isRefusal
        ? await conversation.reader.text()
        : Buffer.from(
            await conversation.take(bytes.byteLength).catch((error: Error) => {
              throw new Error(
                `no answer "${comment}" in ${steps.map((step) => step.comment).join(" | ")}: ${error.message}`,
              );
            }),
          ).toString("hex");
      if (got !== recorded) throw new Error(`${comment}: recorded ${recorded}, got ${got}`);
    }
  } finally {
    conversation.end();
  }
}

/** A listener that plays the recorded server to one client of ours; `done` throws at the first byte that differs. */
export async function playServer(
  world: World,
  steps: readonly Step[],
): Promise<{ port: number; done: Promise<void> }> {
  const ended = Promise.withResolvers<void>();
  const play = async (conversation: Conversation) => {
    for (const [index, { from, bytes, comment }] of steps.entries()) {
      if (from === "server") await conversation.send(bytes);
      else {
        const got = Buffer.from(await conversation.take(bytes.byteLength));
        if (!got.equals(bytes))
          throw new Error(
            `step ${index}, ${comment}: recorded ${bytes.toString("hex")}, got ${got.toString("hex")}`,
          );
      }
    }
    conversation.end();
  };
  const listener = await world.net.listen({
    host: "127.0.0.1",
    port: 0,
    handlers: {
      open: (socket) => {
        const conversation = new Conversation({ clock: world.clock, timeoutMs: 5000 });
        const handlers = conversation.handlers();
        handlers.open(socket);
        void play(conversation)
          .finally(() => listener.stop())
          .then(ended.resolve, (error: Error) => {
            conversation.terminate("the test failed");
            ended.reject(error);
          });
        return { conversation, handlers };
      },
      data: (socket, { conversation, handlers }, chunk) => handlers.data(socket, conversation, chunk),
      drain: (socket, { conversation, handlers }) => handlers.drain(socket, conversation),
      close: (socket, { conversation, handlers }, error) => handlers.close(socket, conversation, error),
    },
  });
  return { port: listener.port, done: ended.promise };
}
