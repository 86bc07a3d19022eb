/**
 * A configuration text → its value and the place of each key in it.
 *
 * JSON with comments and trailing commas. All mistakes of the text are found at once. Invariant: the value
 * holds no `__proto__` key and no key twice (both are problems), and is at most `DEPTH_MAX` deep, so nothing
 * later can be tricked by inheritance or exhaust the stack, whatever bytes the file holds.
 */
import { createScanner, parseTree, type Node, type ParseError } from "jsonc-parser";
import { keyName, type KeyPath, type Origin } from "./origin.ts";
import { excerpt, type Problem } from "./problem.ts";

export const TEXT_BYTES_MAX = 1024 * 1024;
const DEPTH_MAX = 64;

/** Token kinds of jsonc-parser's scanner (its enum exists only in its types). */
const Token = {
  openBrace: 1,
  closeBrace: 2,
  openBracket: 3,
  closeBracket: 4,
  comma: 5,
  endOfFile: 17,
} as const;

/** What each of jsonc-parser's error codes (1–16) expected. */
const wantedByErrorCode: Record<number, string> = {
  1: "text in double quotes, a number, true, false or null", 2: "a number", 3: "a key in double quotes", 4: "a value", 5: "a colon", 6: "a comma", 7: "a closing }",
  8: "a closing ]", 9: "the end of the file", 10: "a comment", 11: "the comment's closing */", 12: "a closing quote",
  13: "a number", 14: "four hex digits after \\u", 15: "a known escape after \\", 16: "no control character in a string",
}; // prettier-ignore

export interface JsonObject {
  [key: string]: unknown;
}

/** Where a key and its value stand, as offsets into the text. */
interface Place {
  keyOffset: number;
  valueOffset: number;
  valueLength: number;
}

export class ParsedText {
  readonly file: string;
  readonly text: string;
  readonly problems: Problem[] = [];
  /** The object in the file; empty when there is none. */
  value: JsonObject = {};
  /** Offset of the first broken place of the text: what follows it may be misread. */
  firstMisreadOffset = Number.POSITIVE_INFINITY;
  readonly #places = new Map<string, Place>();
  readonly #lineStarts: number[] = [0];

  constructor(file: string, text: string) {
    this.file = file;
    this.text = text;
    for (let at = text.indexOf("\n"); at !== -1; at = text.indexOf("\n", at + 1))
      this.#lineStarts.push(at + 1);
  }

  place(path: KeyPath, place: Place): void {
    this.#places.set(keyName(path), place);
  }

  /** Gives `to` the place of `from`: a value that goes by another name. */
  copyPlace(from: KeyPath, to: KeyPath): void {
    const place = this.#nearestPlace(from);
    if (place !== undefined && !this.#places.has(keyName(to))) this.place(to, place);
  }

  /** Line and column (both from 1, columns in UTF-16 units) of an offset. */
  originAt(offset: number): Origin & { kind: "file" } {
    let low = 0;
    let high = this.#lineStarts.length - 1;
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if ((this.#lineStarts[middle] ?? 0) <= offset) low = middle;
      else high = middle - 1;
    }
    return {
      kind: "file",
      file: this.file,
      line: low + 1,
      column: offset - (this.#lineStarts[low] ?? 0) + 1,
    };
  }

  /** Offset of the value at `path`, or of the nearest value around it. */
  valueOffset(path: KeyPath): number {
    return this.#nearestPlace(path)?.valueOffset ?? 0;
  }

  keyOffset(path: KeyPath): number {
    return this.#nearestPlace(path)?.keyOffset ?? 0;
  }

  /** The value at exactly `path` as it is written, shortened; undefined when it is not written. */
  source(path: KeyPath): string | undefined {
    const place = this.#places.get(keyName(path));
    if (place === undefined) return undefined;
    return excerpt(this.text.slice(place.valueOffset, place.valueOffset + Math.min(place.valueLength, 200)));
  }

  #nearestPlace(path: KeyPath): Place | undefined {
    for (let length = path.length; length >= 0; length--) {
      const place = this.#places.get(keyName(path.slice(0, length)));
      if (place !== undefined) return place;
    }
    return undefined;
  }

  mistake(offset: number, path: KeyPath, wanted: string, got: string): void {
    this.problems.push({ origin: this.originAt(offset), path, wanted, got });
  }

  /** A mistake of the text itself. */
  misreading(offset: number, wanted: string, got: string): void {
    this.mistake(offset, [], wanted, got);
    this.firstMisreadOffset = Math.min(this.firstMisreadOffset, offset);
  }
}

/** Reads the bytes of one file. Never throws: whatever is wrong with them is in `problems`. */
export function parseBytes(file: string, bytes: Uint8Array): ParsedText {
  const decoded = decodeText(file, bytes);
  return decoded.problems.length > 0 ? decoded : parseText(file, decoded.text);
}

/** The text of one file, not looked at further; what cannot be text is in `problems`. */
export function decodeText(file: string, bytes: Uint8Array): ParsedText {
  if (bytes.byteLength > TEXT_BYTES_MAX) {
    const parsed = new ParsedText(file, "");
    parsed.misreading(0, `at most ${TEXT_BYTES_MAX} bytes`, `${bytes.byteLength} bytes`);
    return parsed;
  }
  const invalidAt = invalidUtf8Offset(bytes);
  if (invalidAt === undefined) return new ParsedText(file, new TextDecoder().decode(bytes));
  const before = new TextDecoder().decode(bytes.subarray(0, invalidAt));
  const parsed = new ParsedText(file, before);
  const byte = (bytes[invalidAt] ?? 0).toString(16).padStart(2, "0");
  parsed.misreading(before.length, "UTF-8 text", `a byte 0x${byte}`);
  return parsed;
}

/** Reads one text. A byte order mark is skipped. */
export function parseText(file: string, textWithMark: string): ParsedText {
  const text = textWithMark.charCodeAt(0) === 0xfeff ? textWithMark.slice(1) : textWithMark;
  const parsed = new ParsedText(file, text);
  const tooDeep = depthExceededOffset(text);
  if (tooDeep !== undefined) {
    parsed.misreading(tooDeep, `at most ${DEPTH_MAX} levels of nesting`, "more");
    return parsed;
  }
  const errors: ParseError[] = [];
  const root = parseTree(text, errors, { allowTrailingComma: true });
  reportSyntax(parsed, errors);
  if (root === undefined) {
    if (errors.length === 0) parsed.misreading(0, "an object in { }", "an empty file");
    return parsed;
  }
  parsed.place([], { keyOffset: root.offset, valueOffset: root.offset, valueLength: root.length });
  if (root.type !== "object") {
    if (errors.length === 0)
      parsed.misreading(root.offset, "an object in { }", excerpt(text.slice(root.offset, root.offset + 200)));
    return parsed;
  }
  parsed.value = valueOf(parsed, root, []) as JsonObject;
  return parsed;
}

function reportSyntax(parsed: ParsedText, errors: ParseError[]): void {
  let previousLine = 0;
  for (const error of errors) {
    // Several complaints about one line help nobody: the first is the cause, the others follow from it.
    const { line } = parsed.originAt(error.offset);
    if (line === previousLine) continue;
    previousLine = line;
    const found = parsed.text.slice(error.offset, error.offset + Math.max(1, Math.min(error.length, 200)));
    const got =
      found.trim() === ""
        ? error.offset >= parsed.text.length
          ? "the end of the file"
          : "nothing"
        : excerpt(found);
    parsed.misreading(error.offset, wantedByErrorCode[error.error] ?? "JSON with comments", got);
  }
}

/** The plain value of a tree node; notes every place, refuses duplicates and `__proto__`. */
function valueOf(parsed: ParsedText, node: Node, path: KeyPath): unknown {
  if (node.type === "array") {
    return (node.children ?? []).map((child, index) => {
      const childPath = [...path, index];
      parsed.place(childPath, {
        keyOffset: child.offset,
        valueOffset: child.offset,
        valueLength: child.length,
      });
      return valueOf(parsed, child, childPath);
    });
  }
  if (node.type !== "object") return node.value as unknown;
  const object: JsonObject = {};
  const seen = new Map<string, number>();
  for (const property of node.children ?? []) {
    const [keyNode, valueNode] = property.children ?? [];
    if (keyNode === undefined) continue;
    const key = String(keyNode.value);
    const childPath = [...path, key];
    const firstOffset = seen.get(key);
    if (firstOffset !== undefined) {
      parsed.mistake(
        keyNode.offset,
        childPath,
        "each key once",
        `it again (first on line ${parsed.originAt(firstOffset).line})`,
      );
      continue;
    }
    seen.set(key, keyNode.offset);
    if (key === "__proto__") {
      parsed.mistake(keyNode.offset, childPath, "a known key", '"__proto__", which is never allowed');
      continue;
    }
    // A key without a value was reported by the parser.
    if (valueNode === undefined) continue;
    parsed.place(childPath, {
      keyOffset: keyNode.offset,
      valueOffset: valueNode.offset,
      valueLength: valueNode.length,
    });
    object[key] = valueOf(parsed, valueNode, childPath);
  }
  return object;
}

/** Offset of the first bracket nested too deep: the parser is recursive, the scanner is not. */
function depthExceededOffset(text: string): number | undefined {
  const scanner = createScanner(text, true);
  let depth = 0;
  for (let token: number = scanner.scan(); token !== Token.endOfFile; token = scanner.scan()) {
    if (token === Token.openBrace || token === Token.openBracket) depth += 1;
    if (token === Token.closeBrace || token === Token.closeBracket) depth = Math.max(0, depth - 1);
    if (depth > DEPTH_MAX) return scanner.getTokenOffset();
  }
  return undefined;
}

/** Index of the first byte that is not UTF-8, found by halving: every longer prefix is invalid too. */
function invalidUtf8Offset(bytes: Uint8Array): number | undefined {
  const isValid = (length: number, isWhole: boolean) => {
    try {
      new TextDecoder("utf-8", { fatal: true }).decode(bytes.subarray(0, length), { stream: !isWhole });
      return true;
    } catch {
      return false;
    }
  };
  if (isValid(bytes.byteLength, true)) return undefined;
  let valid = 0;
  let invalid = bytes.byteLength + 1;
  while (invalid - valid > 1) {
    const middle = (valid + invalid) >> 1;
    if (middle <= bytes.byteLength && isValid(middle, false)) valid = middle;
    else invalid = middle;
  }
  // A character that the end of the file cuts off is valid as a prefix: point at the last byte then.
  return Math.min(valid, bytes.byteLength - 1);
}
