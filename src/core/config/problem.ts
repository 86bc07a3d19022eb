/**
 * One mistake in a configuration, and the error that carries all of them.
 *
 * Invariant: a problem always says where (file:line:col, variable or flag), which key, what was wanted and
 * what was found; it never carries the contents of a secret, because secrets are only ever files.
 */
import { NxError } from "../errors.ts";
import { keyName, originText, type KeyPath, type Origin } from "./origin.ts";

export interface Problem {
  origin: Origin;
  /** Empty for mistakes of the text itself. */
  path: KeyPath;
  /** Completes "wanted …": `an integer from 0 to 65535`. */
  wanted: string;
  /** Completes "got …": as written there, shortened. */
  got: string;
  /** The known name that was probably meant. */
  nearest?: string;
}

/** Something about a configuration that is worth telling but keeps nothing from starting. */
export interface Notice {
  level: "warn" | "info";
  origin: Origin;
  /** A sentence without full stop. */
  text: string;
}

/** `etc/config.ini:4:1: warning: [Server] prot is unknown to dhtnode and ignored (did you mean "port"?)` */
export function noticeText(notice: Notice): string {
  const word = notice.level === "warn" ? "warning" : "note";
  return `${originText(notice.origin)}: ${word}: ${notice.text}`;
}

const GOT_LENGTH_MAX = 48;
const PROBLEMS_SHOWN_MAX = 100;

/** Text as written, on one line, shortened, with control characters made visible. */
export function excerpt(text: string): string {
  const oneLine = text.replace(/\s+/g, " ").trim();
  const shortened = oneLine.length > GOT_LENGTH_MAX ? `${oneLine.slice(0, GOT_LENGTH_MAX)}…` : oneLine;
  // A lone surrogate or control character must not reach a terminal or a log as it is.
  return shortened.toWellFormed().replace(/[\u0000-\u001f\u007f-\u009f\u2028\u2029]/g, (character) => {
    return `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`;
  });
}

/** `configs/dht.json:4:12: respPort: wanted an integer from 0 to 65535, got "x" (did you mean "…"?)` */
export function problemText(problem: Problem): string {
  const key = problem.path.length === 0 ? "" : ` ${excerpt(keyName(problem.path))}:`;
  const suggestion = problem.nearest === undefined ? "" : ` (did you mean "${problem.nearest}"?)`;
  return `${originText(problem.origin)}:${key} wanted ${problem.wanted}, got ${problem.got}${suggestion}`;
}

/** NX_CONFIG_INVALID with every problem, one per line of the message. */
export class ConfigInvalidError extends NxError {
  readonly problems: readonly Problem[];

  constructor(problems: readonly Problem[], hint: string) {
    const shown = problems.slice(0, PROBLEMS_SHOWN_MAX).map(problemText);
    const hidden = problems.length - shown.length;
    if (hidden > 0) shown.push(`… and ${hidden} more`);
    super("NX_CONFIG_INVALID", shown.join("\n"), { hint });
    this.name = "ConfigInvalidError";
    this.problems = problems;
  }
}
