/** Test files in a process of their own, for soaks that run them in another way than `check` does. */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";

const tests = import.meta.dir;

/** Test files whose text has `words`, below test/. */
export function testFilesWith(words: string): string[] {
  const names = readdirSync(tests, { recursive: true, encoding: "utf8" });
  return names.filter(
    (name) => name.endsWith(".test.ts") && readFileSync(join(tests, name), "utf8").includes(words),
  );
}

/** Returns how many tests passed; throws what was printed when one did not. */
export async function runTests(
  files: readonly string[],
  environment: Record<string, string>,
): Promise<number> {
  const command = [
    process.execPath,
    "test",
    "--timeout",
    "300000",
    ...files.map((name) => join(tests, name)),
  ];
  const child = Bun.spawn(command, {
    cwd: join(tests, ".."),
    env: { ...process.env, ...environment },
    stdin: "ignore",
    stdout: "ignore",
    stderr: "pipe",
  });
  const printed = await new Response(child.stderr).text();
  if ((await child.exited) !== 0) throw new Error(printed.slice(-20_000));
  return Number(/^\s*(\d+) pass$/m.exec(printed)?.[1] ?? 0);
}
