/** A tool of the WalB family as a verb: the options of the original program behind a name of ours. */
import { progressLine, type ProgressLine } from "../../core/progress-line.ts";
import { realClock } from "../../core/seams/clock.ts";
import { type Call, defineVerb, type Example, type Verb } from "../../core/verb.ts";
import { type ToolFiles, withFiles } from "./files.ts";
import { type OptionKind, type Options, parseOptions } from "./options.ts";

export interface ToolCall {
  options: Options;
  files: ToolFiles;
  isJson: boolean;
  stdout: Call["stdout"];
  stderr: Call["stderr"];
  progress: ProgressLine;
  /** What it was called with. */
  call: Call;
}

export interface ToolDefinition {
  name: string;
  summary: string;
  /** The original program, whose options these are. */
  original: string;
  /** One line for each option, as `--help` shows it. */
  usage: string[];
  options: Record<string, OptionKind>;
  examples: Example[];
  run(call: ToolCall): Promise<number>;
}

export function toolVerb(tool: ToolDefinition): Verb {
  return defineVerb({
    name: tool.name,
    summary: tool.summary,
    description: `The options are those of ${tool.original}, with one dash or two: ${tool.usage.join("; ")}; -json: output for programs.`,
    passesOptions: true,
    examples: tool.examples,
    run(call) {
      const options = parseOptions(call.rest, tool.options);
      const { stdout, stderr } = call;
      const progress = progressLine(stderr, realClock);
      const isJson = options.has("json");
      return withFiles(call, async (files) => {
        try {
          return await tool.run({ options, files, isJson, stdout, stderr, progress, call });
        } finally {
          progress.end();
        }
      });
    },
  });
}
