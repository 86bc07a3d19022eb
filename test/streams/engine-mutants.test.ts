/** Negative controls of the engine of streams: one line broken each, and the test that guards it turns red. */
import { testMutants, type Mutant } from "../mutants.ts";

const cluster = "test/streams/worker/cluster.test.ts";
const source = "test/streams/sources/acked-source.test.ts";
const stateLog = "test/streams/checkpoint/state-log.test.ts";
const leader = "test/streams/worker/leader.test.ts";
const windows = "test/streams/runtime/windows.test.ts";
const engine = "test/streams/runtime/engine.test.ts";
const admission = "test/streams/worker/admission.test.ts";
const inputLog = "test/streams/sources/input-log.test.ts";

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
  { breaks: "the places of records that came while the disk was full", file: "src/streams/sources/input-log.ts", from: "for (const record of waiting) this.#write(record);", to: "", noticedBy: [inputLog, "what came while the disk was full"] },
  { breaks: "the wait for a disk that is full", file: "src/streams/sources/input-log.ts", from: "while (this.#unwritten > 0)", to: "while (this.#unwritten < 0)", noticedBy: [inputLog, "what came while the disk was full"] },
  { breaks: "the number at which a log begins that came without its records", file: "src/streams/sources/input-log.ts", from: "    await this.#trim();\n", to: "", noticedBy: [inputLog, "a log whose worker came from elsewhere"] },
  { breaks: "the look at states that JSON changes", file: "src/streams/api/codecs.ts", from: "if (!isJson(value)) throw new TypeError(complaint);", to: "", noticedBy: ["test/streams/worker/application-faults.test.ts", "a state that cannot be encoded"] },
  { breaks: "one key for texts that UTF-8 cannot tell apart", file: "src/streams/runtime/author-checks.ts", from: "return key.isWellFormed() ? key : key.toWellFormed();", to: "return key;", noticedBy: [engine, "keys that UTF-8 cannot tell apart"] },
  { breaks: "the wait for what other workers say of their time", file: "src/streams/runtime/watermarks.ts", from: "channels.set(worker, NEVER);", to: "channels.delete(worker);", noticedBy: ["test/streams/runtime/watermarks.test.ts", "a slow input of another worker"] },
  { breaks: "the cut of a record whose encoder throws", file: "src/streams/runtime/splitter.ts", from: "out.cutTo(at);", to: "", noticedBy: [engine, "an encoder that throws"] },
  { breaks: "the snapshot that a rewritten log begins with", file: "src/streams/checkpoint/state-log.ts", from: "const before = stores.map((store) => store.images(true));", to: "const before = stores.map((store) => store.images());", noticedBy: ["test/crash/streams-power-loss.test.ts", "a worker can go to every checkpoint"] },
  { breaks: "that a key which moved is gone where it was", file: "src/streams/worker/key-handover.ts", from: "        store.remove(key);\n", to: "", noticedBy: [cluster, "one worker becomes three"] },
  { breaks: "the rest while a sink cannot keep up", file: "src/streams/worker/runtime.ts", from: "sinks.some((sink) => sink.isCongested)", to: "false", noticedBy: ["test/streams/worker/raw-ends.test.ts", "A21"] },
  { breaks: "what a link sends again behind a break", file: "src/streams/links/outgoing.ts", from: "for (const kept of this.#kept) this.#redial.outbox?.send(kept.bytes);", to: "", noticedBy: ["test/streams/worker/acceptance.test.ts", "A20"] },
  { breaks: "whose directory it is", file: "src/streams/worker/own-directory.ts", from: "(app === own.app && name === own.name)", to: "app !== name", noticedBy: [admission, "A14"] },
  { breaks: "the look at what strangers say", file: "src/streams/worker/control-port.ts", from: "const said = readToLeader(message);", to: "const said = message as ReturnType<typeof readToLeader>;", noticedBy: ["test/streams/worker/hostile.test.ts", "what a peer says that makes no sense"] },
  { breaks: "the look at how states are laid out", file: "src/streams/worker/own-directory.ts", from: "  if (changed === undefined) return;", to: "  return;", noticedBy: ["test/streams/worker/changed-application.test.ts", "open windows are not read"] },
  { breaks: "the proof of the secret", file: "src/streams/worker/control-port.ts", from: "if (!isProof(hello.proof, secret, helloWords(hello)))", to: "if (!isProof)", noticedBy: [admission, "a worker with another secret"] },
]; // prettier-ignore

testMutants(mutants, ["test/streams", "test/core", "test/crash", "test/mutants.ts"]);
