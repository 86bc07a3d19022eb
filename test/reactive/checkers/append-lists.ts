/**
 * Decides whether a history of appends to lists, and reads of them, is linearizable. Exact, and nearly linear in time,
 * because appended values are unique: a read shows the whole order of a key.
 *
 * An append stands at the index of its value, a read at its length. The history is linearizable when all reads of a key
 * are beginnings of one list, every acknowledged value is in it once, no value is in it that nobody appended, and
 * whatever ended before something else began stands before it.
 */

export interface ListOperation {
  /** For messages. */
  client: string;
  key: number;
  /** 0: a read. */
  value: number;
  invokedAt: number;
  /** Infinity: the outcome is unknown. */
  returnedAt: number;
  /** What the operation returned, its own value included; undefined when unknown. */
  list: readonly number[] | undefined;
}

/** What is wrong, if anything. `finals`: the lists after everything, by key. */
export function checkLists(
  history: readonly ListOperation[],
  finals: ReadonlyMap<number, readonly number[]>,
): string[] {
  const byKey = Map.groupBy(history, ({ key }) => key);
  const keys = new Set([...byKey.keys(), ...finals.keys()]);
  return [...keys].flatMap((key) => checkKey(key, byKey.get(key) ?? [], finals.get(key) ?? []));
}

function checkKey(key: number, history: readonly ListOperation[], final: readonly number[]): string[] {
  const problems: string[] = [];
  const say = (operation: ListOperation, text: string) =>
    problems.push(
      `key ${key}, ${operation.client} ${operation.value || "read"} at ${operation.invokedAt}: ${text}`,
    );
  const positions = new Map(final.map((value, index) => [value, index]));
  if (positions.size !== final.length) problems.push(`key ${key}: a value is there twice: ${final.join()}`);
  const appended = new Set(history.map(({ value }) => value));
  for (const value of final) if (!appended.has(value)) problems.push(`key ${key}: nobody appended ${value}`);

  const placed: { operation: ListOperation; position: number }[] = [];
  for (const operation of history) {
    const { list, value } = operation;
    const index = positions.get(value);
    if (list !== undefined) {
      const isBeginning = list.length <= final.length && list.every((item, at) => item === final[at]);
      if (!isBeginning) say(operation, `it saw ${list.join()}, the list is ${final.join()}`);
      if (value > 0 && index === undefined) say(operation, "an acknowledged value is lost");
      if (value > 0 && list.at(-1) !== value) say(operation, "its own value is not the last that it saw");
    }
    // A read stands between two appends: half a place behind the last value it saw.
    if (value > 0 && index !== undefined) placed.push({ operation, position: index });
    else if (value === 0 && list !== undefined) placed.push({ operation, position: list.length - 0.5 });
  }

  let latest = -1;
  let by: ListOperation | undefined;
  const ends = placed.toSorted((a, b) => a.operation.returnedAt - b.operation.returnedAt);
  let ended = 0;
  for (const { operation, position } of placed.toSorted(
    (a, b) => a.operation.invokedAt - b.operation.invokedAt,
  )) {
    for (; (ends[ended]?.operation.returnedAt ?? Infinity) < operation.invokedAt; ended++) {
      const end = ends[ended] as (typeof ends)[number];
      if (end.position > latest) [latest, by] = [end.position, end.operation];
    }
    if (position < latest) {
      say(
        operation,
        `it stands at ${position}, but ${by?.client} had been at ${latest} before (${by?.returnedAt})`,
      );
    }
  }
  return problems;
}
