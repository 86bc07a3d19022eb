/**
 * A child process as a stream of bytes, with the last it said on standard error.
 *
 * Invariant: memory stays bounded whatever the child says. Its end is its exit, not the end of its standard
 * error: an ssh that leaves a control master behind leaves that open. The child gets its own session, so it
 * cannot ask on the terminal.
 */
import type { ByteStream } from "../agent/byte-stream.ts";

const STDERR_LENGTH_MAX = 16 << 10;

export interface ChildStream extends ByteStream {
  readonly pid: number;
  /** Resolves with the exit code, or the signal's name. */
  readonly exited: Promise<number | string>;
  /** The last it said on standard error. */
  stderr(): string;
  kill(signal: NodeJS.Signals): void;
}

export function spawnStream(
  command: readonly string[],
  environment: Record<string, string | undefined>,
): ChildStream {
  const child = Bun.spawn([...command], {
    env: environment,
    stdin: "pipe",
    stdout: "pipe",
    stderr: "pipe",
    detached: true,
  });
  let said = "";
  const decoder = new TextDecoder();
  const listen = async () => {
    for await (const chunk of child.stderr) {
      said = (said + decoder.decode(chunk, { stream: true })).slice(-STDERR_LENGTH_MAX);
    }
  };
  void listen().catch(() => undefined);
  return {
    pid: child.pid,
    incoming: child.stdout,
    async write(bytes) {
      child.stdin.write(bytes);
      await child.stdin.flush();
    },
    close: () => void Promise.resolve(child.stdin.end()).catch(() => undefined),
    exited: child.exited.then((code) => child.signalCode ?? code),
    stderr: () => said.trim(),
    kill: (signal) => child.kill(signal),
  };
}
