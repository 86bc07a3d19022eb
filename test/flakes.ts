/**
 * Tells a test that flaked from one that fails: the files of the failed tests run once more, each alone.
 *
 * A test of whole processes can lose a race on a loaded machine once in thousands of runs. Invariant: what fails twice in
 * a row, or outside a test, or in more than a few files, fails the run; a flake is named in the output, never silent.
 */

/** More files than these do not flake at once: something is broken. */
const FILES_MAX = 3;

export interface NamedTest {
  file: string;
  name: string;
}

/** The failed tests of a JUnit report as `bun test --reporter=junit` writes it. */
export function failedTestsOf(report: string): NamedTest[] {
  const cases = report.matchAll(/<testcase name="([^"]*)"[^>]* file="([^"]*)"[^>]*>\s*<failure/g);
  return [...cases].map(([, name = "", file = ""]) => ({ file: plain(file), name: plain(name) }));
}

/** The tests of a report that ran and passed; a name has those of the groups around it before it. */
export function passedTestsOf(report: string): NamedTest[] {
  // One that failed or was left out has an element inside that says so.
  const cases = report.matchAll(/<testcase name="([^"]*)" classname="([^"]*)"[^>]* file="([^"]*)"[^>]*\/>/g);
  return [...cases].map(([, name = "", groups = "", file = ""]) => ({
    file: plain(file),
    name: plain(`${groups} ${name}`).trim(),
  }));
}

function plain(escaped: string): string {
  const characters: Record<string, string> = { lt: "<", gt: ">", quot: '"', apos: "'", amp: "&" };
  return escaped
    .replace(/&#(\d+);/g, (_, code: string) => String.fromCodePoint(Number(code)))
    .replace(/&(lt|gt|quot|apos|amp);/g, (_, name: string) => characters[name] as string);
}

/**
 * Of a run with `failures` failed tests, those that pass when their file runs again: all of them or none. `passesAlone`
 * runs a file.
 */
export async function flakesOf(
  report: string,
  failures: number,
  passesAlone: (file: string) => Promise<boolean>,
): Promise<NamedTest[]> {
  const failed = failedTestsOf(report);
  const files = [...new Set(failed.map(({ file }) => file))];
  if (failed.length === 0 || failed.length !== failures || files.length > FILES_MAX) return [];
  for (const file of files) if (!(await passesAlone(file))) return [];
  return failed;
}
