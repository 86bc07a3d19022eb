/** Negative controls of INI files, of the store's tools, and of what clients of one port owe each other. */
import { testMutants, type Mutant } from "../mutants.ts";

const offline = "test/channels/dht/offline.test.ts";
const ini = "test/channels/dht/ini.test.ts";
const respPort = "test/channels/dht/resp-port.test.ts";
const spares = "test/channels/spare-buffers.test.ts";
const rewrite = "test/core/config/ini/rewrite.test.ts";

const mutants: Mutant[] = [
  { breaks: "the guard against made-up values", file: "src/channels/dht/offline/salvage.ts", from: 'if (effect.operation !== "patch" || effect.offset === 0) return true;', to: "if (effect) return true;", noticedBy: [offline, "does not make up the beginning"] },
  { breaks: "the reading of every change", file: "src/channels/dht/offline/read.ts", from: "effects += replay(store, payload, source);", to: "", noticedBy: [offline, "what is no effect is found"] },
  { breaks: "the lock of the tools", file: "src/channels/dht/offline/directory.ts", from: 'return await disk.lock(join(dataDir, "lock"));', to: "return undefined;", noticedBy: [offline, "a directory in use is refused"] },
  { breaks: "the search for missing segments", file: "src/core/append-log/inspect.ts", from: "if (next < sequence) found.push(segmentMember(next, last, true));", to: "", noticedBy: [offline, "with a missing segment takes the others"] },
  { breaks: "the section that may be rewritten", file: "src/core/config/ini/rewrite.ts", from: "ini.get(section, key)", to: "ini.entries.findLast((entry) => entry.key === key)", noticedBy: [rewrite, "with prefix, blanks, comments"] },
  { breaks: "the width that a rewriting keeps", file: "src/core/config/ini/rewrite.ts", from: "old?.[2]?.length !== digits.length", to: "old === null", noticedBy: [rewrite, "no digits to replace"] },
  { breaks: "the warning of unknown keys", file: "src/core/config/ini/map.ts", from: 'notices.push({ level: "warn", origin, text });', to: "", noticedBy: [ini, "unknown keys and sections as warnings"] },
  { breaks: "the demand for required keys", file: "src/core/config/ini/map.ts", from: "if (rule.required !== undefined) reportMissing(ini, rule);", to: "", noticedBy: [ini, "all missing required keys"] },
  { breaks: "the turn of clients with short replies", file: "src/channels/fair-turns.ts", from: "return this.#isFull &&", to: "return false &&", noticedBy: [respPort, "short replies of the same turn come before"] },
  { breaks: "a buffer's only owner", file: "src/core/sockets/spare-buffers.ts", from: "this.#kept.splice(index, 1)", to: "this.#kept.slice(index)", noticedBy: [spares, "never see bytes of each other"] },
  { breaks: "what waits for its turn", file: "src/channels/gated-port.ts", from: "[client.kept, bytes]", to: "[bytes]", noticedBy: [respPort, "is answered whole and in order"] },
  { breaks: "the end of a reply before the next begins", file: "src/channels/fair-turns.ts", from: "this.#queue.unshift(client)", to: "this.#queue.push(client)", noticedBy: [respPort, "many that go on at once"] },
]; // prettier-ignore

testMutants(mutants, ["test/channels", "test/core", "test/cli", "test/mutants.ts"]);
