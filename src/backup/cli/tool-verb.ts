/** A tool of the WalB family as a verb: the options of the original program behind a name of ours. */
import { progressLine, type ProgressLine } from "../../core/progress-line.ts";
import { realClock } from "../../core/seams/clock.ts";
import { type Call, defineVerb, type Example, type Verb } from "../../core/verb.ts";
import type { ByteSource } from "../formats/bytes.ts";
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

/** The same source; how much of it was read is shown. */
export function shown(source: ByteSource, progress: ProgressLine): ByteSource {
  const { name, bytes } = source;
  const all = bytes === Number.MAX_SAFE_INTEGER ? "" : ` of ${bytes}`;
  return {
    ...source,
    read(target, offset) {
      progress.show(`${name}: ${offset}${all} bytes`);
      return source.read(target, offset);
    },
  };
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
