/**
 * What the verifying applications write: a frame for each window, `(KEY,[a,b,c,d])`, or the later form, JSON with the
 * members `key` and `value`.
 *
 * A key carries the trace of the steps it went through behind its first dot (`key_3.TraceID-1.TraceWindow-1`); the key
 * that was sent is what stands before.
 */
import { WireError } from "../wire/bytes.ts";

export interface KeyedWindow {
  /** As it was sent, without trace. */
  key: string;
  trace: string;
  /** Oldest first. */
  values: number[];
}

const WINDOW_VALUES_MAX = 1000;

/** Throws WireError for anything else. */
export function parseWindow(text: string): KeyedWindow {
  return text.startsWith("{") ? parseJson(text) : parseTuple(text);
}

function parseTuple(text: string): KeyedWindow {
  const match = /^\((?<key>[^,\[\]]+),\s*\[(?<values>[\d,\s]*)\]\)$/.exec(text.trim());
  if (match?.groups === undefined) throw new WireError(`${excerpt(text)} is not (KEY,[a,b,c,d])`);
  const { key = "", values = "" } = match.groups;
  return { ...untraced(key), values: values.split(",").map((value) => number(value.trim(), text)) };
}

function parseJson(text: string): KeyedWindow {
  let parsed: unknown;
  try {
    parsed = JSON.parse(text);
  } catch {
    throw new WireError(`${excerpt(text)} is not JSON`);
  }
  const { key, value } = parsed as { key?: unknown; value?: unknown };
  if (typeof key !== "string" || !Array.isArray(value) || value.length > WINDOW_VALUES_MAX)
    throw new WireError(`${excerpt(text)} has no key and value`);
  return { ...untraced(key), values: value.map((one) => number(String(one), text)) };
}

function untraced(key: string): { key: string; trace: string } {
  const dot = key.indexOf(".");
  return dot < 0 ? { key, trace: "" } : { key: key.slice(0, dot), trace: key.slice(dot) };
}

function number(digits: string, text: string): number {
  if (!/^\d{1,15}$/.test(digits))
    throw new WireError(`${excerpt(text)} holds ${excerpt(digits)}, which is no number`);
  return Number(digits);
}

function excerpt(text: string): string {
  return JSON.stringify(text.length > 80 ? `${text.slice(0, 80)}…` : text);
}
