/** Negative controls: one line of the kernel is broken, and the test that guards it must turn red. */
import { testMutants, type Mutant } from "../../mutants.ts";

const outbox = "test/core/sockets/outbox.test.ts";
const table = "test/core/sockets/connections.test.ts";
const unanswered = "test/core/sockets/unanswered.test.ts";
const spare = "test/core/seams/spare-files.test.ts";
const log = "test/core/logging/log.test.ts";
const instance = "test/core/kernel/instance.test.ts";
const processes = "test/core/kernel/process.test.ts";
const sockets = "test/core/kernel/sockets.test.ts";
const textSocket = "test/core/sockets/text-socket.test.ts";
const net = "test/core/seams/net-real.test.ts";
const rest = "test/core/seams/turn-rest.test.ts";
const viewers = "test/hub/hub.test.ts";

const mutants: Mutant[] = [
  { breaks: "the order of bytes: sends past what waits", file: "src/core/sockets/outbox.ts", from: "if (this.#start !== this.#end) {\n      this.#keep(bytes);\n      return;\n    }", to: "", noticedBy: [outbox, "delivers every byte once"] },
  { breaks: "the keeping of what the kernel did not take", file: "src/core/sockets/outbox.ts", from: "this.#waiting.bytes.set(bytes, this.#end);", to: "", noticedBy: [outbox, "delivers every byte once"] },
  { breaks: "the growth of a buffer: by as much as is needed", file: "src/core/sockets/growing-buffer.ts", from: "2 * this.#bytes.byteLength", to: "0", noticedBy: ["test/core/sockets/growing-buffer.test.ts", "for each small piece, with spares"] },
  { breaks: "the bound of the outbox", file: "src/core/sockets/outbox.ts", from: "if (length > this.#options.bytesMax) {", to: "if (false) {", noticedBy: [outbox, "closes a client that does not read"] },
  { breaks: "the limit of connections", file: "src/core/sockets/connections.ts", from: "if (this.#members.size < this.#options.limits().connections) return true;", to: "return true;", noticedBy: [table, "has room for as many"] },
  { breaks: "the idle timeout", file: "src/core/sockets/connections.ts", from: "Math.ceil(idleTimeoutMs / TICK_MS)", to: "Number.POSITIVE_INFINITY", noticedBy: [table, "closes an idle connection"] },
  { breaks: "the stall timeout", file: "src/core/sockets/connections.ts", from: "> stallTicks", to: "> idleTicks", noticedBy: [table, "closes a peer that takes nothing"] },
  { breaks: "the escaping of log lines", file: "src/core/logging/log.ts", from: "- ${escapeControls(bounded(text))}", to: "- ${bounded(text)}", noticedBy: [log, "stays one line"] },
  { breaks: "the count of lost lines", file: "src/core/logging/log.ts", from: "output.failed++;", to: "throw new Error();", noticedBy: [log, "never throws"] },
  { breaks: "the whole-or-nothing of a reload", file: "src/core/kernel/instance.ts", from: "await this.#running?.reload?.(old.config as never);", to: "", noticedBy: [instance, "puts the old configuration back"] },
  { breaks: "the order of a shutdown", file: "src/core/kernel/instance.ts", from: 'this.state = "draining";', to: "", noticedBy: [instance, "is not ready before its listener closes"] },
  { breaks: "the patience of a stop with a start: ends what serves", file: "src/core/kernel/instance.ts", from: 'if (this.state === "starting") await this.#starting.catch(() => {});', to: "", noticedBy: [instance, "waits for the start"] },
  { breaks: "the stop of a role that serves before it is ready", file: "src/core/kernel/process-mode.ts", from: "if (this.#instance?.serves !== true)", to: "if (this.#isStarting)", noticedBy: [processes, "that serves already"] },
  { breaks: "the check of the admin token", file: "src/core/kernel/admin.ts", from: "if (token !== undefined) app.use(demandToken(token));", to: "", noticedBy: [instance, "on TCP demands the token"] },
  { breaks: "the mode of the admin socket", file: "src/core/seams/socket-file.ts", from: "chmodSync(path, mode);", to: "chmodSync(path, 0o666);", noticedBy: [instance, "makes its directory private"] },
  { breaks: "the respect for a socket that is in use", file: "src/core/seams/socket-file.ts", from: "    connection.end();", to: "    connection.end();\n    return rmSync(path);", noticedBy: [textSocket, "of a living one is refused"] },
  { breaks: "the bound of a line of text", file: "src/core/sockets/text-socket.ts", from: "if (client.lineBytes > LINE_BYTES_MAX) {", to: "if (false) {", noticedBy: [textSocket, "ends a line beyond"] },
  { breaks: "the refusal of web pages at the admin port", file: "src/core/kernel/admin.ts", from: "if (token === undefined && isOnPort) app.use(refuseWebPages);", to: "", noticedBy: [instance, "a web page can neither"] },
  { breaks: "the reserve of files", file: "src/core/seams/spare-files.ts", from: 'error.code === "EMFILE" ? this.#held.pop() : undefined', to: "undefined", noticedBy: [spare, "a log goes from file to file"] },
  { breaks: "the filling of the reserve by what is closed", file: "src/core/seams/spare-files.ts", from: "if (this.#held.length === SPARES) return", to: "if (true) return", noticedBy: [spare, "a log goes from file to file"] },
  { breaks: "the patience with requests under way: many connections cut them", file: "src/core/sockets/unanswered.ts", from: "MANY_SILENT_MS, receivedBytesMax: 0,", to: "MANY_SILENT_MS, receivedBytesMax: 0xffff_ffff,", noticedBy: [unanswered, "many that say nothing"] },
  { breaks: "the handshake: opens before it", file: "src/core/seams/net-real.ts", from: "if (tls === undefined) {", to: "if (true) {", noticedBy: [sockets, "tells the identity of a verified client"] },
  { breaks: "the refusal of keys that others can read", file: "src/core/secret-file.ts", from: "const OTHERS = 0o007;", to: "const OTHERS = 0;", noticedBy: [sockets, "files that cannot serve are refused"] },
  { breaks: "the bound of what a page that does not read costs", file: "src/hub/viewers.ts", from: "if ((viewer.controller.desiredSize ?? 0) <= 0) {", to: "if (false) {", noticedBy: [viewers, "that do not read cost a few events"] },
  { breaks: "the rest that delays nobody: rests although most were just answered", file: "src/core/seams/turn-rest.ts", from: "served <= this.#servedMax", to: "served >= 0", noticedBy: [rest, "after a turn that served many"] },
  { breaks: "the pace at which rests pay", file: "src/core/seams/turn-rest.ts", from: "gapUs <= GAP_US_MAX", to: "gapUs > 0", noticedBy: [rest, "while requests are far apart"] },
  { breaks: "the silence about peers that are gone", file: "src/core/seams/net-real.ts", from: "hasAddresses: true,", to: "", noticedBy: [net, "before it was accepted"] },
  { breaks: "the limit of unsent bytes", file: "src/core/seams/net-real.ts", from: "if (unsentBytesMax !== undefined)", to: "if (false)", noticedBy: [net, "keeps the kernel from taking"] },
  { breaks: "the order of rules about unanswered connections", file: "src/native/system.ts", from: "rule.receivedBytesMax, rule.connectedMin]", to: "rule.receivedBytesMax, 0]", noticedBy: [unanswered, "applied in their order"] },
]; // prettier-ignore

testMutants(mutants, ["test/core", "test/hub", "test/mutants.ts"]);
