/** The operator's own place when there is none, and what operators are called. */
import { expect, test } from "bun:test";
import { hostname } from "node:os";
import { join } from "node:path";
import { makeStateDirectory, sshSettings, type OperatorPlace } from "../../src/cluster/operator/place.ts";
import { NxError } from "../../src/core/errors.ts";
import { realClock } from "../../src/core/seams/clock.ts";
import { RealDisk } from "../../src/core/seams/disk-real.ts";
import { lockFile } from "../../src/native/system.ts";

const place: OperatorPlace = {
  disk: new RealDisk(lockFile),
  clock: realClock,
  // Nobody, root included, can make a directory there.
  environment: { HOME: "/proc/version" },
  workingDirectory: "/",
};

test("a home where nothing can be written: the hint names the variable, and ssh is used without sharing", async () => {
  const error: unknown = await makeStateDirectory(place).catch((thrown: unknown) => thrown);
  expect(error).toBeInstanceOf(NxError);
  expect([(error as NxError).code, (error as NxError).hint]).toEqual([
    "NX_OUTPUT_FAILED",
    expect.stringContaining("set XDG_STATE_HOME"),
  ]);
  expect(await sshSettings(place)).toEqual({ program: "ssh", connectTimeoutSeconds: 5 });
});

test("an operator has a name without USER in the environment, too", () => {
  const file = join(import.meta.dir, "../../src/cluster/operator/place.ts");
  const program = `console.log((await import(${JSON.stringify(file)})).operatorName())`;
  const { stdout } = Bun.spawnSync([process.execPath, "-e", program], { env: {} });
  const uid = process.getuid?.() ?? 0;
  expect(stdout.toString().trim()).toBe(`${uid === 0 ? "root" : `uid ${uid}`}@${hostname()}`);
});
