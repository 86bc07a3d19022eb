/**
 * One call of the command line, without a process around it: words in, output written, exit code out.
 */
import { buildInfo } from "../core/build-info.ts";
import { Exit, NxError } from "../core/errors.ts";
import { asNxError, colorsFor, printError } from "./print.ts";
import { resolveVerb, runVerb, usageError } from "./strict.ts";
import { defineVerb, type Surroundings } from "./verb.ts";
import { verbs } from "./verbs.ts";

export const rootVerb = defineVerb({
  name: "node-x",
  summary: "One executable that runs your servers, and deploys itself",
  examples: [
    { command: "node-x init dht", shows: "Write dht.json, every key commented" },
    { command: "node-x run dht --config dht.json", shows: "Start a key/value node in the foreground" },
    { command: "node-x run --help", shows: "Show what a verb accepts" },
  ],
  subVerbs: verbs,
});

/** Runs the words of one command line. Never throws; errors are printed and become the exit code. */
export async function runCommandLine(words: readonly string[], surroundings: Surroundings): Promise<number> {
  const separator = words.indexOf("--");
  const isJson = (separator === -1 ? words : words.slice(0, separator)).includes("--json");
  try {
    if (words.length === 1 && words[0] === "--version") {
      surroundings.stdout.write(`node-x ${buildInfo.version} (${buildInfo.commit})\n`);
      return Exit.ok;
    }
    const asked = words[0] === "help" ? [...words.slice(1), "--help"] : words;
    const resolved = await resolveVerb(rootVerb, asked);
    if (!resolved.wantsHelp)
      return await runVerb(resolved, surroundings).catch((error: unknown) => {
        throw withHelpAsHint(error, resolved.path);
      });
    // Without any word the help is an answer to a mistake, not to a question.
    const isQuestion = asked.length > resolved.path.length;
    const output = isQuestion ? surroundings.stdout : surroundings.stderr;
    const { helpText } = await import("./help.ts");
    output.write(
      await helpText(
        resolved.verb,
        resolved.path,
        colorsFor(output, surroundings.environment),
        output.columns,
      ),
    );
    return isQuestion ? Exit.ok : Exit.usage;
  } catch (thrown) {
    const error = asNxError(thrown);
    printError(surroundings, error, isJson);
    return error.exit;
  }
}

/** A word that a verb does not take is told with where to read what it takes, unless the verb knew better. */
function withHelpAsHint(error: unknown, path: readonly string[]): unknown {
  if (!(error instanceof NxError) || error.code !== "NX_USAGE" || error.hint !== undefined) return error;
  const { message, cause } = error;
  const { hint } = usageError(message, path);
  return new NxError(error.code, message, { hint, cause });
}
