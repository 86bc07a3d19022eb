/** @jsxImportSource preact */
/** What happened, the newest first. */
import type { Happening } from "../../messages.ts";
import { moment } from "../format.ts";
import { InstanceLink } from "./small.tsx";

const bad: readonly Happening["kind"][] = ["silent", "restarted", "not ready"];

export function HappeningList({ of }: { of: readonly Happening[] }) {
  if (of.length === 0) return <p class="empty">Nothing happened since the hub looks.</p>;
  return (
    <ul class="card happenings">
      {of.map(({ atMs, instance, kind, text }) => (
        <li key={`${atMs} ${instance} ${kind}`}>
          <time class="muted small" dateTime={new Date(atMs).toISOString()}>
            {moment(atMs)}
          </time>
          <InstanceLink name={instance} />
          <span class={bad.includes(kind) ? "bad-text" : ""}>{text}</span>
        </li>
      ))}
    </ul>
  );
}
