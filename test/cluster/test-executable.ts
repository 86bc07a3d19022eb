/**
 * An executable with the roles of tests, built once for a run of tests: `bun test/cluster/test-executable.ts DIRECTORY`.
 *
 * It differs from dist/node-x by its roles only, so it is also what a code change looks like to an upload.
 */
import { dirname, join } from "node:path";
import { bundle, ensureExecutable } from "../../build.ts";

const original = join(import.meta.dir, "../../src/roles.ts");
const stand = join(import.meta.dir, "roles-of-tests.ts");

/** Returns the executable's path in `directory`. */
export async function buildTestExecutable(directory: string): Promise<string> {
  await ensureExecutable(); // the C library and the page
  const child = Bun.spawn([process.execPath, import.meta.path, directory], {
    stdout: "inherit",
    stderr: "inherit",
  });
  if ((await child.exited) !== 0) throw new Error("the test executable does not build");
  return join(directory, "node-x");
}

if (import.meta.main) {
  await bundle(process.argv[2] as string, [
    {
      name: "roles of tests",
      setup(build) {
        build.onResolve({ filter: /\/roles\.ts$/ }, ({ path, importer }) =>
          join(dirname(importer), path) === original ? { path: stand } : undefined,
        );
      },
    },
  ]);
}
