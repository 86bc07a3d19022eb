/** `node-x stream restore`: a worker's state from its replicas, on whatever host this is called. */
import { resolve } from "node:path";
import { Exit, NxError } from "../../core/errors.ts";
import { listenOption, wholeOption } from "../../core/option-values.ts";
import { printJson } from "../../core/print.ts";
import { defineVerb } from "../../core/verb.ts";

const TIMEOUT_MS_MAX = 3_600_000;

export const restoreVerb = defineVerb({
  name: "restore",
  summary: "Rebuild a worker's state from the replicas that kept copies of it",
  description:
    "Takes the newest whole copy that any replica has, and writes it as the state of the data directory, which must not " +
    "have one. Start the worker there with its name and application: it tells the cluster where it is, no file is edited.",
  args: {
    worker: { type: "string", valueHint: "NAME", required: true, description: "The worker" },
    app: { type: "string", valueHint: "NAME", required: true, description: "The name that its application gives itself" },
    from: { type: "string", valueHint: "LIST", required: true, description: "The replicas, HOST:PORT with commas between" },
    dir: { type: "string", valueHint: "DIR", required: true, description: "The worker's data directory" },
    ca: { type: "string", valueHint: "FILE", description: "Replicas are called with TLS; the authorities that sign their certificates" },
    "timeout-ms": { type: "string", valueHint: "MS", default: "5000", description: "A replica that does not answer for so long is passed over" },
    json: { type: "boolean", description: "Print JSON" },
  },
  examples: [
    {
      command: "node-x stream restore --app detector --worker worker2 --from 10.0.0.1:9999,10.0.0.2:9999 --dir worker2",
      shows: "Bring worker2 to this host",
    },
  ],
  async run({ args, workingDirectory, stdout, stderr }) {
    const addresses = args.from.split(",").map((text) => listenOption("--from", text));
    const [{ rebuildState }, { copyDirectory }, { realWorld }, { callerTlsOf, callingWithTls }] = await Promise.all([
      import("../replica/rebuild.ts"),
      import("../replica/copy-file.ts"),
      import("../../core/seams/world-real.ts"),
      import("../../core/sockets/tls.ts"),
    ]);
    if (args.worker === "" || args.app === "") throw new NxError("NX_USAGE", "--app and --worker are names");
    const world = realWorld();
    const tls = callerTlsOf(undefined, args.ca === undefined ? undefined : resolve(workingDirectory, args.ca));
    const found = await rebuildState({
      world: { ...world, net: callingWithTls(world.net, tls) },
      addresses,
      directory: copyDirectory(args.app, args.worker),
      dataDir: resolve(workingDirectory, args.dir),
      timeoutMs: wholeOption("--timeout-ms", args["timeout-ms"], 1, TIMEOUT_MS_MAX),
      onProblem: (text) => void stderr.write(`warning: ${text}\n`),
    });
    const { committed, prepared, address, name, copy } = found;
    const from = `${address.host}:${address.port}`;
    if (args.json === true) printJson(stdout, { from, name, bytes: copy.bytes, committed, prepared });
    else stdout.write(`restored checkpoint ${committed}${prepared > committed ? ` (${prepared} is prepared)` : ""} from ${from}, ${name}, ${copy.bytes} bytes\n`);
    return Exit.ok;
  },
}); // prettier-ignore
