/** `bun run bench <family>`: the comparison of a family's roles with what people use today. */
import { NxError } from "../../src/core/errors.ts";
import { keepHelpersBack } from "../../src/core/kernel/helper-threads.ts";
import { realClock } from "../../src/core/seams/clock.ts";
import { benchBackup } from "./backup.ts";
import { benchDeploy } from "./deploy.ts";
import { benchDht } from "./dht.ts";
import { benchHub } from "./hub.ts";
import { benchLegacy } from "./legacy.ts";
import { benchLogfiles } from "./logfiles.ts";
import { benchStatus } from "./status.ts";
import { benchReactive } from "./reactive.ts";
import { benchReactiveFigures } from "./reactive-figures.ts";
import { benchReactivePush } from "./reactive-push.ts";
import { benchReactiveWriters } from "./reactive-writers.ts";
import { benchQueue } from "./queue.ts";
import { benchNeo } from "./neo.ts";
import { benchPresence } from "./presence.ts";
import { benchS3 } from "./s3.ts";
import { benchStorage } from "./storage.ts";
import { benchStream } from "./stream.ts";
import { benchStreamEnds } from "./stream-ends.ts";
import { benchStreamTools } from "./stream-tools.ts";
import { benchTcm } from "./tcm.ts";

const families: Record<string, (argv: string[]) => Promise<number>> = {
  backup: benchBackup,
  deploy: benchDeploy,
  dht: benchDht,
  hub: benchHub,
  legacy: benchLegacy,
  presence: benchPresence,
  logfiles: benchLogfiles,
  status: benchStatus,
  reactive: benchReactive,
  "reactive-push": benchReactivePush,
  "reactive-figures": benchReactiveFigures,
  "reactive-writers": benchReactiveWriters,
  queue: benchQueue,
  neo: benchNeo,
  s3: benchS3,
  storage: benchStorage,
  stream: benchStream,
  "stream-ends": benchStreamEnds,
  "stream-tools": benchStreamTools,
  tcm: benchTcm,
};

const [family = "", ...argv] = process.argv.slice(2);
const bench = Object.hasOwn(families, family) ? families[family] : undefined;
if (bench === undefined) {
  console.error(
    `error: there is no benchmark "${family}"; wanted one of ${Object.keys(families).join(", ")}`,
  );
  process.exit(64);
}
// What is measured would wait for this process's compilers, whoever serves.
keepHelpersBack(realClock, { trace: console.error });
try {
  process.exit(await bench(argv));
} catch (error) {
  if (!(error instanceof NxError)) throw error;
  console.error(`error: ${error.message}`);
  if (error.hint !== undefined) console.error(`hint: ${error.hint}`);
  process.exit(error.exit);
}
