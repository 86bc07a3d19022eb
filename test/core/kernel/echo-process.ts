/** The program of `EchoProcess`: runs the echo role as `node-x run` runs a shipped one. */
import { Exit, NxError } from "../../../src/core/errors.ts";
import { loadConfig } from "../../../src/core/config/load.ts";
import { runRole } from "../../../src/core/kernel/process-mode.ts";
import { createEcho, type EchoHolds } from "./echo-role.ts";
import { echoCatalog } from "./harness.ts";

const file = process.argv[2] as string;
const read = () =>
  loadConfig({ file, environment: {}, sets: [], workingDirectory: process.cwd() }, echoCatalog);
const holds: EchoHolds = {
  ...(process.env.ECHO_HANGS === "1" && { hold: new Promise<void>(() => {}) }),
  ...(process.env.ECHO_SERVES_LONG_BEFORE_READY === "1" && {
    holdServing: new Promise<void>((resolve) => process.once("SIGTERM", () => resolve())),
  }),
};
try {
  process.exit(
    await runRole(createEcho(holds), await read(), { reloadConfig: read, environment: process.env }),
  );
} catch (error) {
  console.error(`error: ${(error as Error).message}`);
  process.exit(error instanceof NxError ? error.exit : Exit.internal);
}
