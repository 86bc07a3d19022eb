/** `node-x stream init`: a directory to write an application in, with the types that an editor wants and a sample. */
import { dirname, join, resolve } from "node:path";
import { buildInfo } from "../../core/build-info.ts";
import { Exit, NxError } from "../../core/errors.ts";
import { makeDurableDirectory, writeFileAtomically } from "../../core/seams/durable-files.ts";
import { realWorld } from "../../core/seams/world-real.ts";
import { defineVerb } from "../../core/verb.ts";
import { appTexts, contractText, moduleText } from "../apps/texts.ts";

/** What `import … from "node-x/stream"` finds beside an application, for editors and tests: the executable has its own. */
const packageText = `${JSON.stringify(
  {
    name: "node-x",
    version: buildInfo.version,
    type: "module",
    exports: { "./stream": { types: "./stream.d.ts", default: "./stream.js" } },
  },
  null,
  2,
)}\n`;

export const initVerb = defineVerb({
  name: "init",
  summary: "Write a sample application and the types for an editor",
  description:
    "Writes NAME.ts and node_modules/node-x with the types of node-x/stream and the module itself, for tests with testApp. " +
    "The executable reads neither: an application runs without them too. An application that is there is not overwritten.",
  args: {
    app: {
      type: "positional",
      required: false,
      description: `The sample: ${Object.keys(appTexts).join(", ")}`,
    },
    types: {
      type: "boolean",
      description: "The types and the module only: for an application that is there",
    },
    dir: { type: "string", valueHint: "DIR", default: ".", description: "Where to write" },
  },
  examples: [
    { command: "node-x stream init word-count", shows: "Write word-count.ts here" },
    { command: "node-x stream init market-spread --dir apps", shows: "Write apps/market-spread.ts" },
    { command: "node-x stream init --types", shows: "Bring the types up to this version of node-x" },
  ],
  async run({ args, workingDirectory, stdout }) {
    const name = args.app ?? "word-count";
    const text = Object.hasOwn(appTexts, name) ? appTexts[name] : undefined;
    if (text === undefined)
      throw new NxError(
        "NX_USAGE",
        `there is no sample "${name}"; wanted one of ${Object.keys(appTexts).join(", ")}`,
      );
    const directory = resolve(workingDirectory, args.dir);
    const files = {
      ...(args.types !== true && { [`${name}.ts`]: text }),
      "node_modules/node-x/package.json": packageText,
      "node_modules/node-x/stream.d.ts": contractText,
      "node_modules/node-x/stream.js": moduleText,
    };
    const first = join(directory, `${name}.ts`);
    const { disk } = realWorld();
    if (args.types !== true && (await disk.exists(first)))
      throw new NxError("NX_FILE_EXISTS", `${first} is there already`, {
        hint: "`node-x stream init --types` writes only the types and the module beside it",
      });
    for (const [path, content] of Object.entries(files)) {
      await makeDurableDirectory(disk, dirname(join(directory, path)));
      await writeFileAtomically(disk, join(directory, path), content);
      stdout.write(`${join(args.dir, path)}\n`);
    }
    return Exit.ok;
  },
});
