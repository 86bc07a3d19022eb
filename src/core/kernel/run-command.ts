/**
 * Runs a program of the host and takes what it says: a seam, so that tests can put another one in its place.
 *
 * Invariant: no shell is involved, words are passed as they are. The program gets no variables of ours, neither those of
 * the operator's session nor what would change Bun's ways. Output beyond a limit is cut at its front.
 */

export interface CommandResult {
  /** The exit code, the signal's name, or "no start". */
  status: number | string;
  stdout: string;
  stderr: string;
}

export type RunCommand = (words: readonly string[]) => Promise<CommandResult>;

const OUTPUT_LENGTH_MAX = 8 << 20;

/** The environment of every program that we start. */
export function cleanEnvironment(): Record<string, string> {
  return { PATH: process.env.PATH ?? "/usr/bin:/bin", HOME: process.env.HOME ?? "/", LANG: "C.UTF-8" };
}

export const runCommand: RunCommand = async (words) => {
  try {
    const child = Bun.spawn([...words], {
      env: cleanEnvironment(),
      stdin: "ignore",
      stdout: "pipe",
      stderr: "pipe",
    });
    const [stdout, stderr] = await Promise.all([
      new Response(child.stdout).text(),
      new Response(child.stderr).text(),
    ]);
    const code = await child.exited;
    return {
      status: child.signalCode ?? code,
      stdout: stdout.slice(-OUTPUT_LENGTH_MAX),
      stderr: stderr.slice(-OUTPUT_LENGTH_MAX),
    };
  } catch (error) {
    // No program at all: another processor's, a missing loader, a file system mounted noexec.
    return { status: "no start", stdout: "", stderr: (error as Error).message };
  }
};
