/** @jsxImportSource preact */
/** The search box of a log store: lines that hold a text or match an expression, with what was found marked. */
import { useMemo, useState } from "preact/hooks";
import { moment } from "../format.ts";
import { range } from "../route.ts";
import { ask } from "../server.ts";

export interface Place {
  instance: string;
  channel: string;
}

const LINES_SHOWN = 300;

interface Found {
  lines: string[];
  contains: string;
}

interface LogLine {
  time?: number;
  value?: unknown;
}

function parsed(line: string): LogLine {
  try {
    const value = JSON.parse(line) as LogLine;
    return typeof value === "object" && value !== null ? value : { value: line };
  } catch {
    return { value: line };
  }
}

/** The text with every occurrence of `word` marked. */
function Marked({ text, word }: { text: string; word: string }) {
  if (word === "") return <>{text}</>;
  const parts = text.split(word);
  return (
    <>
      {parts.map((part, index) => (
        <>
          {index > 0 && <mark>{word}</mark>}
          {part}
        </>
      ))}
    </>
  );
}

function FoundLines({ lines, contains }: Found) {
  return (
    <ul class="lines" tabIndex={0} aria-label="Lines that were found">
      {lines.map((line, index) => {
        const { time, value } = parsed(line);
        const text = typeof value === "string" ? value : JSON.stringify(value ?? "");
        return (
          <li key={index}>
            <time>{time === undefined ? "" : moment(time * 1000)}</time>
            <span>
              <Marked text={text} word={contains} />
            </span>
          </li>
        );
      })}
    </ul>
  );
}

/** The store answers in the order of time, so what is left out is the newest. */
function outcomeOf(count: number): string {
  if (count === 0) return "No line matches.";
  if (count >= LINES_SHOWN)
    return `The first ${count} lines: ask for less, or for a shorter time, to see later ones.`;
  return `${count} line${count === 1 ? "" : "s"}.`;
}

export function LogSearch({ places }: { places: readonly Place[] }) {
  const [at, setAt] = useState(0);
  const [words, setWords] = useState("");
  const [isExpression, setExpression] = useState(false);
  const [isWhole, setWhole] = useState(false);
  const [found, setFound] = useState<Found | undefined>(undefined);
  const [trouble, setTrouble] = useState("");
  const place = places[at] ?? places[0];
  // The page is drawn anew with each message of the hub, the lines only when others were found.
  const shownLines = useMemo(
    () => found !== undefined && found.lines.length > 0 && <FoundLines {...found} />,
    [found],
  );
  const look = async (event: Event) => {
    event.preventDefault();
    if (place === undefined) return;
    setTrouble("Searching.");
    try {
      const from = Math.floor((Date.now() - range.value.ms) / 1000);
      const { lines } = await ask<Found>("/api/logs", {
        ...{ instance: place.instance, channel: place.channel, limit: String(LINES_SHOWN) },
        ...(words !== "" && { [isExpression ? "regex" : "contains"]: words }),
        ...(!isWhole && { from: String(from) }),
      });
      setFound({ lines, contains: isExpression ? "" : words });
      setTrouble(outcomeOf(lines.length));
    } catch (error) {
      setFound(undefined);
      setTrouble((error as Error).message);
    }
  };
  return (
    <form class="card section" role="search" onSubmit={(event) => void look(event)}>
      <div class="search">
        <label>
          Channel
          <select value={String(at)} onChange={({ currentTarget }) => setAt(Number(currentTarget.value))}>
            {places.map(({ instance, channel }, index) => (
              <option key={`${instance} ${channel}`} value={String(index)}>
                {channel} on {instance}
              </option>
            ))}
          </select>
        </label>
        <label class="grows">
          Search
          <input
            type="search"
            value={words}
            placeholder={isExpression ? "status=(4|5)\\d\\d" : "a text, exactly"}
            onInput={({ currentTarget }) => setWords(currentTarget.value)}
          />
        </label>
        <label class="inline">
          <input
            type="checkbox"
            checked={isExpression}
            onChange={({ currentTarget }) => setExpression(currentTarget.checked)}
          />
          Expression
        </label>
        <label class="inline">
          <input
            type="checkbox"
            checked={!isWhole}
            onChange={({ currentTarget }) => setWhole(!currentTarget.checked)}
          />
          Only the last {range.value.label}
        </label>
        <button type="submit" class="primary" disabled={place === undefined}>
          Search
        </button>
      </div>
      <p role="status" class="muted small">
        {trouble}
      </p>
      {shownLines}
    </form>
  );
}
