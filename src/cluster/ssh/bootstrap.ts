/**
 * How the far end comes to run `node-x agent --stdio`: a small POSIX-sh script that asks for nothing but sh,
 * dd, gzip and sha256sum there.
 *
 * Invariant: the remote command is always the same text; it reads the script by its length from standard
 * input and runs it. The script in turn reads what varies (paths, digests) as lines, so no shell ever
 * interprets a word of ours. An executable takes its name only when it is complete, has the right digest and
 * has passed its self-test there.
 */

/**
 * Quoted once, for sh, csh and fish alike. `dd` by single bytes, so that nothing of what follows the script
 * is swallowed.
 */
export const REMOTE_COMMAND = `exec sh -c 'IFS= read -r n && eval "$(dd bs=1 count="$n" 2>/dev/null)"'`;

/** What the script says when there is no agent to run; a line of its own. */
export const BOOT_MARK = "NXBOOT";

/**
 * Lines on standard input: working directory, task, then for `install`: SHA-256, and the gzip stream until
 * its end.
 */
const script = `
set -u
umask 022
IFS= read -r root || exit 64
IFS= read -r task || exit 64
bin=$root/.node-x/.bin
exe=$bin/node-x
libc() {
  for found in /lib/ld-musl-*; do [ -e "$found" ] && { echo musl; return; }; done
  for found in /lib64/ld-linux* /lib/ld-linux* /lib/*/ld-linux*; do [ -e "$found" ] && { echo glibc; return; }; done
  echo unknown
}
say() { printf '${BOOT_MARK} %s\\n' "$*"; }
case $task in
agent)
  [ -x "$exe" ] && exec "$exe" agent --stdio
  say missing "$(uname -s)" "$(uname -m)" "$(libc)"
  ;;
install)
  IFS= read -r sha || exit 64
  mkdir -p "$bin" || { say failed "cannot create $bin"; exit 73; }
  new=$bin/.node-x.$$
  trap 'rm -f "$new"' EXIT
  trap 'exit 75' HUP INT TERM PIPE
  gzip -dc > "$new" || { say failed "cannot write $new: $(df -Pk "$root" | awk 'NR==2 {print $4}') KiB are free"; exit 74; }
  sum=$(sha256sum < "$new") || { say failed "sha256sum does not work"; exit 69; }
  [ "\${sum%% *}" = "$sha" ] || { say damaged; exit 65; }
  chmod 755 "$new"
  why=$("$new" selftest 2>&1) || { say unfit $?: "$why" | tr '\\n' ' '; echo; exit 65; }
  sync "$new" 2>/dev/null || sync
  mv -f "$new" "$exe" || { say failed "cannot replace $exe"; exit 73; }
  say installed
  ;;
esac
`.trimStart();

export type BootTask = { task: "agent" } | { task: "install"; sha256: string };

/** What goes to standard input first. */
export function bootInput(workingDirectory: string, task: BootTask): Uint8Array {
  const lines = [workingDirectory, task.task, ...(task.task === "install" ? [task.sha256] : [])];
  const body = new TextEncoder().encode(script);
  return new TextEncoder().encode(
    `${body.byteLength}\n${script}${lines.map((line) => `${line}\n`).join("")}`,
  );
}

export type BootAnswer =
  | { kind: "missing"; system: string; machine: string; libc: string }
  | { kind: "installed" | "damaged" }
  | { kind: "failed" | "unfit"; reason: string };

/** The script's words in what the far end said; undefined when it said none. */
export function bootAnswer(text: string): BootAnswer | undefined {
  const line = text.split("\n").find((candidate) => candidate.startsWith(`${BOOT_MARK} `));
  const [, kind, ...words] = line?.split(" ") ?? [];
  switch (kind) {
    case "missing":
      return { kind, system: words[0] ?? "", machine: words[1] ?? "", libc: words[2] ?? "" };
    case "installed":
    case "damaged":
      return { kind };
    case "failed":
    case "unfit":
      return { kind, reason: words.join(" ").trim() };
    default:
      return undefined;
  }
}
