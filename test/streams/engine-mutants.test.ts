/** Negative controls of the engine of streams: one line broken each, and the test that guards it turns red. */
import { testMutants, type Mutant } from "../mutants.ts";

const cluster = "test/streams/worker/cluster.test.ts";
const source = "test/streams/sources/acked-source.test.ts";
const stateLog = "test/streams/checkpoint/state-log.test.ts";
const leader = "test/streams/worker/leader.test.ts";
const windows = "test/streams/runtime/windows.test.ts";

const mutants: Mutant[] = [
  { breaks: "the hold of what overtakes a barrier", file: "src/streams/checkpoint/alignment.ts", from: "return this.#arrived[exchange]?.has(peer) === true;\n  }\n\n  get", to: "return this.#arrived[exchange]?.has(peer) === undefined;\n  }\n\n  get", noticedBy: [cluster, "what overtakes a barrier"] },
  { breaks: "the decision before anyone hears of it", file: "src/streams/worker/leader.ts", from: "await this.#options.decide(running.checkpoint, layout);", to: "void this.#options.decide(running.checkpoint, layout);", noticedBy: [leader, "before that is written down"] },
  { breaks: "the wait for a decision that is under way", file: "src/streams/worker/leader.ts", from: "      await this.#deciding;", to: "", noticedBy: [leader, "while a checkpoint is being decided"] },
  { breaks: "the wait for replicas", file: "src/streams/checkpoint/state-log.ts", from: "await Promise.all([this.#file.flush(), this.#options.mirror?.flush()]);", to: "await this.#file.flush();", noticedBy: [stateLog, "only when the mirror has it"] },
  { breaks: "acknowledgements by committed checkpoints", file: "src/streams/sources/acked-source.ts", from: "this.#acknowledge(client, []);", to: "this.#acknowledge(client, [...this.#seen].map(([streamId, position]) => ({ streamId, position })));", noticedBy: [cluster, "a worker that dies in the middle"] },
  { breaks: "dropping what was seen", file: "src/streams/sources/acked-source.ts", from: "messageId <= seen", to: "messageId < 0", noticedBy: [source, "sent again after a break is dropped"] },
  { breaks: "the vote of a sink", file: "src/streams/worker/checkpointing.ts", from: "if (!(await part.safe)) throw new VoteAgainst(part.sink.name);", to: "await part.safe;", noticedBy: [cluster, "a vote against a checkpoint"] },
  { breaks: "going back to the checkpoint's input", file: "src/streams/sources/acked-source.ts", from: "this.#seen = parsed(position);\n    this.#acked", to: "this.#acked", noticedBy: [source, "after the cluster went back"] },
  { breaks: "going back in the output file", file: "src/streams/sinks/file-sink.ts", from: "this.#end = bytes;", to: "", noticedBy: [cluster, "a worker that dies in the middle"] },
  { breaks: "lateness of records behind a fired window", file: "src/streams/runtime/windows.ts", from: ".filter((start) => dueOf(spec, start) > watermarkMs)", to: "", noticedBy: [windows, "late records: drop"] },
]; // prettier-ignore

testMutants(mutants, ["test/streams", "test/core", "test/mutants.ts"]);
