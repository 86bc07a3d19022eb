/**
 * `exec`: runs a program on this server's host for the controller (`-allow-exec`). The protocol knows no users, so whoever
 * reaches the port may do what this process may: off unless the configuration says otherwise, and told to the log then.
 *
 *   client: words, the first an absolute path      server: "ok", lines of output, acknowledgement
 */
import type { RunCommand } from "../../core/kernel/run-command.ts";
import { Writer } from "../wire/serial.ts";
import { ack, firstLine, type Protocol, Refusal } from "./server.ts";

export function execProtocol(run: RunCommand): Protocol {
  return async (call) => {
    const words = await call.reader.texts();
    const [program = ""] = words;
    if (!program.startsWith("/"))
      throw new Refusal(`execServer:an absolute path is wanted, not "${program}"`);
    const { status, stdout, stderr } = await run(words);
    if (status !== 0) throw new Refusal(`execServer:${program} ended with ${status}:${firstLine(stderr)}`);
    await call.answer("ok");
    const lines = stdout.split("\n");
    if (lines.at(-1) === "") lines.pop();
    await call.send(ack(new Writer().texts(lines)));
  };
}
