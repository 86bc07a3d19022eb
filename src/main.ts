/**
 * The entry point of the executable: hands the process's words and streams to the command line.
 *
 * Called by the name of an original program (`dhtnode`), it is that program. Nothing else is loaded here: the verb
 * decides. Output is written synchronously, so that nothing is lost when the process ends right after.
 */
import { readFileSync, writeSync } from "node:fs";
import { basename } from "node:path";
import { runCommandLine } from "./cli/main.ts";
import { isProgram, runProgram } from "./cli/programs.ts";
import { buildInfo } from "./core/build-info.ts";
import { errnoOf, Exit, NxError } from "./core/errors.ts";
import type { Output } from "./cli/verb.ts";

/** Writes all of it, whatever the kernel takes at a time; returns the errno that stopped it. */
function writeFully(fd: number, text: string | Uint8Array): string | undefined {
  const bytes = typeof text === "string" ? Buffer.from(text) : text;
  for (let written = 0; written < bytes.byteLength;) {
    try {
      written += writeSync(fd, bytes, written);
    } catch (error) {
      const errno = errnoOf(error) ?? String(error);
      if (errno !== "EAGAIN") return errno;
      // A reader that is slower than we are, on a pipe that somebody made non-blocking.
      Bun.sleepSync(1);
    }
  }
  return undefined;
}

function describe(stream: NodeJS.WriteStream): Omit<Output, "write" | "writeBytes"> {
  return { isTty: stream.isTTY === true, columns: stream.columns, rows: stream.rows };
}

function writeOut(text: string | Uint8Array): void {
  const errno = writeFully(1, text);
  // The reader of a pipe went away (`node-x roles | head -1`): it has what it wanted.
  if (errno === "EPIPE") process.exit(0);
  if (errno !== undefined) {
    throw new NxError("NX_OUTPUT_FAILED", `standard output cannot be written (${errno})`, {
      hint: "the output is incomplete; write it to a place with space",
    });
  }
}

/** A lost message must not end a server: its log files have it too. */
function writeError(text: string): void {
  writeFully(2, text);
}

/** The name that the executable was called by: inside it, argv[0] is "bun" and the path has no symbolic links. */
function calledName(): string {
  if (!buildInfo.isCompiled) return "";
  try {
    return basename(readFileSync("/proc/self/cmdline", "utf8").split("\0", 1)[0] ?? "");
  } catch {
    return "";
  }
}

const REJECTED = "unhandledRejection";
// While this module waits for the verb, the runtime would not end after such a defect but spin. A verb with a handler of its
// own (a running instance writes last words) has the say.
process.on(REJECTED, (reason) => {
  if (process.listenerCount(REJECTED) > 1) return;
  writeError(`error: ${reason instanceof Error ? reason.stack : String(reason)}\n`);
  process.exit(Exit.internal);
});

const words = process.argv.slice(2);
const surroundings = {
  environment: process.env,
  workingDirectory: process.cwd(),
  stdout: {
    ...describe(process.stdout),
    write: writeOut,
    writeBytes: async (bytes: Uint8Array) => writeOut(bytes),
  },
  stderr: { ...describe(process.stderr), write: writeError },
  stdin: () => Bun.stdin.stream(),
};
const name = calledName();
process.exit(
  isProgram(name) ? await runProgram(name, words, surroundings) : await runCommandLine(words, surroundings),
);
