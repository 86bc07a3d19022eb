/** `node-x version`: what this executable is, exactly. */
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { buildInfo, diskFormats, protocols } from "../core/build-info.ts";
import { alignColumns, printJson } from "./print.ts";
import { defineVerb } from "./verb.ts";

export const versionVerb = defineVerb({
  name: "version",
  summary: "Show version, commit, checksum, and the formats and protocols this executable speaks",
  description:
    "sha256 is that of the executable file itself: the same on every host that runs the same release. " +
    "It is empty when node-x runs from its sources.",
  args: { json: { type: "boolean", description: "Print JSON" } },
  examples: [
    { command: "node-x version", shows: "Show the version" },
    { command: "node-x version --json | jq -r .sha256", shows: "Compare what two hosts run" },
  ],
  async run({ args, stdout }) {
    const { NATIVE_ABI } = await import("../native/library.ts");
    const info = {
      name: "node-x",
      version: buildInfo.version,
      commit: buildInfo.commit,
      bun: buildInfo.bun,
      nativeAbi: NATIVE_ABI,
      sha256: buildInfo.isCompiled ? sha256OfFile(process.execPath) : null,
      platform: `${process.platform}-${process.arch}`,
      diskFormats,
      protocols,
    };
    if (args.json) {
      printJson(stdout, info);
      return 0;
    }
    const formats = Object.entries(diskFormats).map(
      ([name, { writes, readsFrom }]) => `${name} ${writes} (reads from ${readsFrom})`,
    );
    const rows = [
      ["node-x", info.version],
      ["commit", info.commit],
      ["bun", info.bun],
      ["native ABI", String(info.nativeAbi)],
      ["sha256", info.sha256 ?? "(runs from its sources)"],
      ["platform", info.platform],
      ["disk formats", formats.join(", ")],
      [
        "protocols",
        Object.entries(protocols)
          .map(([name, version]) => `${name} ${version}`)
          .join(", "),
      ],
    ];
    for (const line of alignColumns(rows)) stdout.write(`${line}\n`);
    return 0;
  },
});

function sha256OfFile(path: string): string {
  return createHash("sha256").update(readFileSync(path)).digest("hex");
}
