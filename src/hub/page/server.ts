/** What the page asks of the hub, and who the reader is to it. */
import { signal } from "@preact/signals";

interface Session {
  demandsLogin: boolean;
  /** The reader may look. */
  isOpen: boolean;
  /** What an action must carry; missing where the hub allows none. */
  csrf?: string;
}

/** Undefined until the hub has answered. */
export const session = signal<Session | undefined>(undefined);

/** Throws with the hub's own words. */
async function answerOf<Value>(response: Response): Promise<Value> {
  const value = (await response.json()) as Value & { error?: string };
  if (response.status === 401) await loadSession();
  if (!response.ok) throw new Error(value.error ?? `the hub answers ${response.status}`);
  return value;
}

export async function loadSession(): Promise<void> {
  session.value = (await (await fetch("/api/session")).json()) as Session;
}

export async function ask<Value>(
  path: string,
  words: Record<string, string | string[]> = {},
): Promise<Value> {
  const query = new URLSearchParams();
  for (const [key, value] of Object.entries(words))
    for (const each of [value].flat()) query.append(key, each);
  return answerOf<Value>(await fetch(`${path}?${query}`));
}

async function post<Value>(path: string, body: unknown): Promise<Value> {
  const headers = { "content-type": "application/json", "x-node-x-csrf": session.value?.csrf ?? "" };
  return answerOf<Value>(await fetch(path, { method: "POST", headers, body: JSON.stringify(body) }));
}

export async function login(password: string): Promise<void> {
  await post("/api/login", { password });
  await loadSession();
}

export async function logout(): Promise<void> {
  await post("/api/logout", {});
  await loadSession();
}

/** Returns what was done, in a sentence. */
export async function act(action: string, request: Record<string, string>): Promise<string> {
  return (await post<{ done: string }>(`/api/actions/${action}`, request)).done;
}
