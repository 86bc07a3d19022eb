/** Negative controls of the neo port, its handshake and the client library; those of the C half are in test/native/neo-c.test.ts. */
import { testMutants, type Mutant } from "../../../mutants.ts";

const port = "src/channels/neo-port.ts";
const credentials = "src/channels/wire/neo/credentials.ts";
const link = "src/channels/client/node-link.ts";
const hostile = "test/channels/wire/neo/hostile.test.ts";
const vectors = "test/channels/wire/neo/vectors.test.ts";
const simulation = "test/channels/client/client-simulation.test.ts";
const dhtdump = "test/channels/dhtdump/dhtdump.test.ts";

const mutants: Mutant[] = [
  { breaks: "the log's share in a neo answer", file: "src/channels/gated-port.ts", from: "durable.commit();\n      isPromise", to: "isPromise", noticedBy: [simulation, "the same over the neo protocol"] },
  { breaks: "the check of a client's secret", file: credentials, from: "timingSafeEqual(wanted, code) && secret !== undefined", to: "wanted.length === 64 && secret !== undefined", noticedBy: [vectors, "neo-handshake"] },
  { breaks: "the check of a client's clock", file: credentials, from: "seconds >= now - skew && seconds <= now + skew", to: "now >= skew", noticedBy: [vectors, "neo-handshake"] },
  { breaks: "the right of the administrator alone", file: port, from: "handshake.name === ADMINISTRATOR", to: "handshake.name !== ADMINISTRATOR.repeat(2)", noticedBy: [hostile, "a channel may be removed by the administrator alone"] },
  { breaks: "the whole or not at all of credentials", file: credentials, from: "if (credentials.has(name)) throw mistake(`${name} is given twice`);", to: "", noticedBy: [hostile, "a name twice"] },
  { breaks: "the distrust of a connection that owes an answer", file: link, from: "else this.#drop(used);", to: "", noticedBy: [simulation, "what the client was told is kept"] },
  { breaks: "the leaving out of records without value", file: "src/channels/dhtdump/dump-channel.ts", from: "if (at > start) runs.push([start, at]);\n      start = valueAt;", to: "", noticedBy: [dhtdump, "is written in runs that leave records without value out"] },
  { breaks: "the watch over a node that falls silent", file: "src/channels/dhtdump/cycle.ts", from: "await Promise.race([answer, late.promise, this.#stopped.promise])", to: "await Promise.race([answer, this.#stopped.promise])", noticedBy: [dhtdump, "a node that falls silent in the middle"] },
]; // prettier-ignore

testMutants(mutants, ["test/channels", "test/vectors", "test/mutants.ts", "build.ts", "configs"]);
