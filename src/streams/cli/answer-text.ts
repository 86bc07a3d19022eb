/** A worker's answer for people: one line for each figure, named by where it is in the JSON. */

type Json = string | number | boolean | null | undefined | readonly Json[] | { readonly [key: string]: Json };

/** Longer lists of words end with how many more there are; JSON has all of them. */
const WORDS_MAX = 20;

/** Rows of name and value. Lists of words are one row; a list of things is a row for each figure of each. */
export function answerRows(answer: Json, name = ""): [string, string][] {
  if (answer === null || answer === undefined) return [[name, "-"]];
  if (typeof answer !== "object") return [[name, String(answer)]];
  if (isList(answer)) {
    if (answer.length === 0) return [[name, "-"]];
    if (answer.every((each) => typeof each !== "object")) return [[name, wordsOf(answer)]];
    return answer.flatMap((each, index) => answerRows(each, join(name, nameOf(each) ?? String(index))));
  }
  return Object.entries(answer).flatMap(([key, value]) => answerRows(value, join(name, key)));
}

const isList = (answer: object): answer is readonly Json[] => Array.isArray(answer);
const join = (name: string, key: string) => (name === "" ? key : `${name}.${key}`);

/** What tells one thing of a list from the others. */
function nameOf(each: Json): string | undefined {
  const { name, to } = each as { name?: Json; to?: Json };
  const found = name ?? to;
  return typeof found === "string" ? found : undefined;
}

function wordsOf(words: readonly Json[]): string {
  const shown = words.slice(0, WORDS_MAX).map(String).join(", ");
  const more = words.length - WORDS_MAX;
  return more > 0 ? `${shown} and ${more} more` : shown;
}
