/**
 * How the far end comes to run `node-x agent --stdio`: a small POSIX-sh script that asks for nothing but sh,
 * dd, gzip and sha256sum there.
 *
 * Invariant: the remote command is always the same text; it reads the script by its length from standard
 * input and runs it. The script in turn reads what varies (paths, digests) as lines, so no shell ever
 * interprets a word of ours. An executable takes its name only when it is complete, has the right digest and
 * has passed its self-test there. A copy that is on the machine already is linked only when it belongs to the
 * same user, because whoever owns it could change it later. It is taken as it is when it is the very file that
 * was just installed there, by its inode number; any other is checked and tried like one that was sent.
 */

/**
 * Quoted once, for sh, csh and fish alike. `dd` by single bytes, so that nothing of what follows the script
 * is swallowed.
 */
export const REMOTE_COMMAND = `exec sh -c 'IFS= read -r n && eval "$(dd bs=1 count="$n" 2>/dev/null)"'`;

/** What the script says when there is no agent to run; a line of its own. */
export const BOOT_MARK = "NXBOOT";

/**
 * Lines on standard input: working directory, task, then for `install`: SHA-256, `gzip` or `plain`, and the stream
 * until its end; for `adopt`: SHA-256, the path of a copy on the same machine, and its inode number.
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
machine() {
  printf '%s:%s:%s' "$(cat /proc/sys/kernel/random/boot_id)" "$(readlink /proc/self/ns/mnt)" "$(id -u)"
}
inode() { set -- $(ls -di "$1"); echo "$1"; }
say() { printf '${BOOT_MARK} %s\\n' "$*"; }
prepare() {
  IFS= read -r sha || exit 64
  mkdir -p "$bin" || { say failed "cannot create $bin"; exit 73; }
  new=$bin/.node-x.$$
  trap 'rm -f "$new"' EXIT
  trap 'exit 75' HUP INT TERM PIPE
}
check() {
  sum=$(sha256sum < "$new") || { say failed "sha256sum does not work"; exit 69; }
  [ "\${sum%% *}" = "$sha" ] || { say damaged; exit 65; }
  chmod 755 "$new"
  why=$("$new" selftest 2>&1) || { say unfit $?: "$why" | tr '\\n' ' '; echo; exit 65; }
  sync "$new" 2>/dev/null || sync
}
keep() {
  mv -f "$new" "$exe" || { say failed "cannot replace $exe"; exit 73; }
  say installed "$(inode "$exe")"
}
case $task in
agent)
  [ -x "$exe" ] && exec "$exe" agent --stdio
  say missing "$(uname -s)" "$(uname -m)" "$(libc)" "$(machine 2>/dev/null)"
  ;;
install)
  prepare
  IFS= read -r packing || exit 64
  case $packing in gzip) gzip -dc ;; *) cat ;; esac > "$new" || { say failed "cannot write $new: $(df -Pk "$root" | awk 'NR==2 {print $4}') KiB are free"; exit 74; }
  check
  keep
  ;;
adopt)
  prepare
  IFS= read -r from || exit 64
  IFS= read -r known || exit 64
  { ln "$from" "$new" 2>/dev/null && [ -O "$new" ] && [ ! -L "$new" ]; } ||
    { rm -f "$new"; cp "$from" "$new" 2>/dev/null; } || { say absent; exit 0; }
  [ "$(inode "$new")" = "$known" ] || check
  keep
  ;;
esac
`.trimStart();

/** Of a boot, a mount namespace and a user. */
const MACHINE_ID = /^[0-9a-f-]{36}:mnt:\[\d+\]:\d+$/;

export type BootTask =
  | { task: "agent" }
  | { task: "install"; sha256: string; packing: "gzip" | "plain" }
  | { task: "adopt"; sha256: string; from: string; inode: string };

/** What goes to standard input first. */
export function bootInput(workingDirectory: string, task: BootTask): Uint8Array {
  const { task: name, ...more } = task;
  const lines = [workingDirectory, name, ...Object.values(more)];
  const body = new TextEncoder().encode(script);
  return new TextEncoder().encode(
    `${body.byteLength}\n${script}${lines.map((line) => `${line}\n`).join("")}`,
  );
}

export type BootAnswer =
  /** `machineId` as an agent says it (agent/messages.ts); empty when it cannot be told. */
  | { kind: "missing"; system: string; machine: string; libc: string; machineId: string }
  | { kind: "installed"; inode: string }
  | { kind: "damaged" | "absent" }
  | { kind: "failed" | "unfit"; reason: string };

/** The script's words in what the far end said; undefined when it said none. */
export function bootAnswer(text: string): BootAnswer | undefined {
  const line = text.split("\n").find((candidate) => candidate.startsWith(`${BOOT_MARK} `));
  const [, kind, ...words] = line?.split(" ") ?? [];
  switch (kind) {
    case "missing":
      return {
        kind,
        system: words[0] ?? "",
        machine: words[1] ?? "",
        libc: words[2] ?? "",
        machineId: MACHINE_ID.test(words[3] ?? "") ? (words[3] as string) : "",
      };
    case "installed":
      return { kind, inode: words[0] ?? "" };
    case "damaged":
    case "absent":
      return { kind };
    case "failed":
    case "unfit":
      return { kind, reason: words.join(" ").trim() };
    default:
      return undefined;
  }
}
