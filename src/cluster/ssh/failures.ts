/** Tells from ssh's own words why a connection did not come about, and what to do about it. */
import { NxError } from "../../core/errors.ts";

export type SshFailure = "key-unknown" | "key-changed" | "denied" | "unreachable";

/** ssh's exit code for failures of its own; others are the remote command's. */
export const SSH_FAILED = 255;

const signs: [RegExp, SshFailure][] = [
  [/REMOTE HOST IDENTIFICATION HAS CHANGED|Offending .* key/, "key-changed"],
  [/No .* host key is known|Host key verification failed/, "key-unknown"],
  [/Permission denied|Too many authentication failures|no mutual signature/, "denied"],
];

export function failureOf(stderr: string): SshFailure {
  return signs.find(([sign]) => sign.test(stderr))?.[1] ?? "unreachable";
}

/** `stderr` is what ssh said; its last line says why. */
export function sshError(host: string, stderr: string): NxError {
  const lines = stderr.split("\n").filter((line) => line.trim() !== "" && !line.startsWith("@"));
  const said = lines.at(-1)?.trim() ?? "ssh gives no reason";
  switch (failureOf(stderr)) {
    case "key-changed":
      return new NxError("NX_HOST_KEY_CHANGED", `${host}: its host key is not the one in known_hosts`, {
        hint: "if the host was reinstalled, remove its old line with `ssh-keygen -R`; otherwise somebody is in between",
      });
    case "key-unknown":
      return new NxError("NX_HOST_KEY_UNKNOWN", `${host}: its host key is not known (${said})`);
    case "denied":
      return new NxError("NX_HOST_DENIED", `${host}: ${said}`, {
        hint: "let your public key in there (ssh-copy-id), and load it into your agent",
      });
    case "unreachable":
      return new NxError("NX_HOST_UNREACHABLE", `${host}: ${said}`, {
        hint: "is it up, and does `ssh` reach it with the same user, port and jump?",
      });
  }
}
