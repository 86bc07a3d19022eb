/**
 * The entry point of the executable: hands the process's words and streams to the command line.
 *
 * Nothing else is loaded here: the verb decides. Output is written synchronously, so that nothing is lost
 * when the process ends right after.
 */
import { writeSync } from "node:fs";
import { runCommandLine } from "./cli/main.ts";
import { errnoOf } from "./core/errors.ts";
import type { Output } from "./cli/verb.ts";

function outputTo(stream: NodeJS.WriteStream, fd: number): Output {
  return {
    isTty: stream.isTTY === true,
    columns: stream.columns,
    write(text) {
      const bytes = Buffer.from(text);
      for (let written = 0; written < bytes.byteLength;) {
        try {
          written += writeSync(fd, bytes, written);
        } catch (error) {
          // The reader of a pipe went away (`node-x roles | head -1`): it has what it wanted.
          if (errnoOf(error) === "EPIPE") process.exit(0);
          if (errnoOf(error) !== "EAGAIN") throw error;
        }
      }
    },
  };
}

const exitCode = await runCommandLine(process.argv.slice(2), {
  environment: process.env,
  workingDirectory: process.cwd(),
  stdout: outputTo(process.stdout, 1),
  stderr: outputTo(process.stderr, 2),
});
process.exit(exitCode);
