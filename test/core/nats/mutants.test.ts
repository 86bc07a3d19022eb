/** Negative controls of everything on JetStream: streams' ends and the queue's log. */
import { type Mutant, testMutants } from "../../mutants.ts";

const ends = "test/streams/connectors/nats.test.ts";
const log = "test/core/nats/stream-log.test.ts";

const mutants: Mutant[] = [
  {
    breaks: "a message that is acknowledged before a checkpoint covers it",
    file: "src/streams/connectors/nats-consumer.ts",
    from: "if (message.seq > this.#acknowledged) this.#replies.set(message.seq, reply);",
    to: "if (message.seq > Infinity) this.#replies.set(message.seq, reply);",
    noticedBy: [ends, "retention limits is acknowledged when a checkpoint"],
  },
  {
    breaks: "what was handed out to a life before and is waited for",
    file: "src/streams/connectors/nats-source.ts",
    from: "    await this.#readHandedOut(session, round, begun.streamSequence);\n",
    to: "",
    noticedBy: [ends, "comes back to a stream with retention limits"],
  },
  {
    breaks: "output that is sent again without a look at the stream",
    file: "src/streams/connectors/nats-target.ts",
    from: "if (this.#isUncertain) await this.#findStored(session, subject);",
    to: "",
    noticedBy: [ends, "delivered again is in the stream once"],
  },
  {
    breaks: "a reply before the stream has acknowledged",
    file: "src/core/nats/stream-log/stream-log.ts",
    from: 'await this.#writeParts("effects", item.payload());',
    to: 'void this.#writeParts("effects", item.payload());',
    noticedBy: [log, "nothing is durable before"],
  },
  {
    breaks: "a write that names no message to follow",
    file: "src/core/nats/stream-log/writer.ts",
    from: "...(isFenced && { lastSequence: this.#sequence })",
    to: "",
    noticedBy: [log, "of somebody who heard of no claim"],
  },
  {
    breaks: "a message that is not known again when its acknowledgement was lost",
    file: "src/core/nats/stream-log/writer.ts",
    from: "if (found.header?.get(Header.number) === headers[Header.number]) return next;",
    to: "",
    noticedBy: [log, "whose acknowledgement is lost"],
  },
  {
    breaks: "a message that is missing in the middle",
    file: "src/core/nats/stream-log/recovery.ts",
    from: "if (message.sequence !== this.#sequence + 1) throw this.#lost(this.#sequence + 1, message.sequence);",
    to: "",
    noticedBy: [log, "a stream that lost messages"],
  },
];

testMutants(mutants, ["test/core", "test/streams/connectors", "test/e2e", "test/mutants.ts", "build.ts"]);
