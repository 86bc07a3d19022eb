/** Negative controls of the logfiles store: each takes one guarantee away, and the enumeration of power losses must notice. */
import { type Mutant, testMutants } from "../../mutants.ts";

const segments = "test/crash/logfiles-power-loss.test.ts";
const loses = (layout: string): Mutant["noticedBy"] => [segments, `nothing is there twice: .*${layout}`];

const given = "test/channels/logfiles/redistribute.test.ts";
const store = "test/channels/logfiles/store.test.ts";
const neo = "src/channels/logfiles/neo-engine.ts";
const hostile = "test/channels/logfiles/neo-hostile.test.ts";

testMutants(
  [
    {
      breaks: "the end of a neo request's fields",
      file: neo,
      from: 'if (!reader.isAtEnd) throw new ProtocolError("a Put is longer than its fields");',
      to: "",
      noticedBy: [hostile, "a Put with more than its fields"],
    },
    {
      breaks: "the number of neo ranges at once",
      file: neo,
      from: 'if (connection.requests.size >= REQUESTS_MAX) throw new ProtocolError("too many requests at once");',
      to: "",
      noticedBy: [hostile, "more ranges at once"],
    },
    {
      breaks: "a file that goes before the other node has its records",
      file: "src/channels/logfiles/redistribute.ts",
      from: "await node.sendRequest(",
      to: "void node.sendRequest(",
      noticedBy: [given, "everything is still here"],
    },
    {
      breaks: "records that come back from the log when their file was given away",
      file: "src/channels/logfiles/store/sealer.ts",
      from: "await this.#rewriteLog(true);",
      to: "",
      noticedBy: [given, "layout segments a part of the files goes"],
    },
    {
      breaks: "a bucket file that goes with what was appended since",
      file: "src/channels/logfiles/classic/classic-layout.ts",
      from: 'if (found.records !== records || found.end !== "whole") return undefined;',
      to: "",
      noticedBy: [store, "layout classic a file that is given away"],
    },
    {
      breaks: "a segment that is named before it is synced",
      file: "src/channels/logfiles/segments/write.ts",
      from: "    await this.#file.sync();\n",
      to: "",
      noticedBy: loses("segments"),
    },
    {
      breaks: "a log that is rewritten before the segment's name is synced",
      file: "src/channels/logfiles/segments/segment-layout.ts",
      from: "    await disk.syncDirectory(directory);\n    return { ...info",
      to: "    return { ...info",
      noticedBy: loses("segments"),
    },
    {
      breaks: "old segments that go before the joined one would survive",
      file: "src/channels/logfiles/segments/segment-layout.ts",
      from: "      await disk.syncDirectory(this.#pathOf(channel));\n      return true;",
      to: "      return true;",
      noticedBy: loses("segments"),
    },
    {
      breaks: "records that are in files and are taken from the log, too",
      file: "src/channels/logfiles/store/log-store.ts",
      from: "as ChannelPointer, 0, 0, sealedNumber)",
      to: "as ChannelPointer, 0, 0, 0 * sealedNumber)",
      noticedBy: loses("segments"),
    },
    {
      breaks: "files of a removed channel that go before the removal is durable",
      file: "src/channels/logfiles/store/log-store.ts",
      from: "      await this.flush();\n",
      to: "",
      noticedBy: loses("segments"),
    },
    {
      breaks: "a removal that is not repeated at the start",
      file: "src/channels/logfiles/store/log-store.ts",
      from: "      this.#options.layout.forget(channel.name, removedAt);\n    }\n    await",
      to: "    }\n    await",
      noticedBy: loses("segments"),
    },
    {
      breaks: "bucket files that are not synced before the log is rewritten",
      file: "src/channels/logfiles/classic/flush.ts",
      from: "    await file.write(bytes, sizeBefore);\n    await file.sync();\n",
      to: "    await file.write(bytes, sizeBefore);\n",
      noticedBy: loses("classic"),
    },
    {
      breaks: "a flush that nothing says is under way",
      file: "src/channels/logfiles/classic/flush.ts",
      from: "  await writeState(disk, statePath, { numbers: task.numbers, flushing });\n",
      to: "",
      noticedBy: loses("classic"),
    },
    {
      breaks: "a flush cut short that is not undone",
      file: "src/channels/logfiles/classic/classic-layout.ts",
      from: "      await undoFlush(disk, directory, this.#statePath, state);\n",
      to: "",
      noticedBy: loses("classic"),
    },
    {
      breaks: "new bucket files whose names are not synced",
      file: "src/channels/logfiles/classic/flush.ts",
      from: "  for (const path of directories) await disk.syncDirectory(path);\n",
      to: "",
      noticedBy: loses("classic"),
    },
  ],
  ["test", "native", "build.ts"],
);
