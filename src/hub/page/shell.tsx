/** @jsxImportSource preact */
/** What stands around every page: the list of pages with what is wrong in each, the time range, light and dark. */
import type { ComponentChildren } from "preact";
import { useEffect, useRef } from "preact/hooks";
import { families, familyOfRole, type Family } from "../messages.ts";
import { concerns, hub, isConnected, rows } from "./live.ts";
import { linkTo, page, range, ranges, setRange } from "./route.ts";
import { logout, session } from "./server.ts";
import { applyTheme, theme, themes, type Theme } from "./theme.ts";

const familyTitles: Record<Family, string> = {
  channels: "Channels",
  store: "Store",
  backup: "Backup",
  presence: "Presence",
  stream: "Streams",
};

export function titleOf(name: string): string {
  if (name === "") return "Overview";
  if (name === "happenings") return "What happened";
  return families.includes(name as Family) ? familyTitles[name as Family] : name;
}

function Mark() {
  return (
    <svg viewBox="0 0 16 16" aria-hidden="true">
      <rect width="16" height="16" rx="4" fill="var(--accent)" />
      <path
        d="M4 11l3-6 2 4 3-5"
        stroke="var(--surface)"
        stroke-width="1.6"
        fill="none"
        stroke-linecap="round"
        stroke-linejoin="round"
      />
    </svg>
  );
}

interface PageLinkProps {
  to: string;
  title: string;
  count?: number;
  severity?: "bad" | "warn" | undefined;
}

function PageLink({ to, title, count, severity }: PageLinkProps) {
  const isHere = page.value === to || (to === "" && page.value === "instance");
  return (
    <a href={linkTo(to)} {...(isHere && { "aria-current": "page" as const })}>
      {title}
      {count !== undefined && (
        <span class={`count ${severity ?? ""}`}>
          {count}
          {severity !== undefined && <span class="unseen"> need attention</span>}
        </span>
      )}
    </a>
  );
}

/** How many instances a family has, or how many of its instances need somebody. */
function familyLink(family: Family) {
  const members = rows.value.filter(({ snapshot }) => familyOfRole[snapshot.role ?? ""] === family);
  const told = family === "stream" ? (hub.value?.streamCount ?? 0) : 0;
  if (members.length + told === 0) return null;
  const targets = new Set(members.map(({ snapshot }) => snapshot.target));
  const own = concerns.value.filter(({ instance }) => instance !== undefined && targets.has(instance));
  const troubled = new Set(own.map(({ instance }) => instance)).size;
  const severity = troubled === 0 ? undefined : own.some((each) => each.severity === "bad") ? "bad" : "warn";
  return (
    <PageLink
      key={family}
      to={family}
      title={familyTitles[family]}
      count={troubled === 0 ? Math.max(members.length, told) : troubled}
      severity={severity}
    />
  );
}

/**
 * On a narrow screen the links are a strip that scrolls. Not by scrollIntoView: the tab key would begin at what that shows, and never
 * come to what stands before it.
 */
function showInStrip(strip: HTMLElement | null): void {
  const here = strip?.querySelector("[aria-current]")?.getBoundingClientRect();
  if (strip === null || here === undefined) return;
  const { left, width } = strip.getBoundingClientRect();
  strip.scrollLeft += here.left + here.width / 2 - (left + width / 2);
}

/** To the page's own content. Not by its address: that names the page, and `#main` would be another one. */
export function focusMain(): void {
  document.getElementById("main")?.focus({ preventScroll: true });
}

function Side() {
  const about = hub.value;
  const pages = useRef<HTMLElement>(null);
  const shown = page.value;
  useEffect(() => showInStrip(pages.current), [shown]);
  return (
    <header class="side">
      <a class="brand" href="#/">
        <Mark />
        {about?.prefix ?? about?.name ?? "node-x"}
      </a>
      <nav ref={pages} class="pages" aria-label="Pages">
        <PageLink to="" title="Overview" count={rows.value.length} />
        {families.map(familyLink)}
        <PageLink to="happenings" title="What happened" />
      </nav>
      <footer>
        <span class="version">node-x {about?.version}</span>
        {session.value?.demandsLogin === true && (
          <p>
            <button type="button" onClick={() => void logout()}>
              Log out
            </button>
          </p>
        )}
      </footer>
    </header>
  );
}

function Tools() {
  return (
    <div class="tools">
      <label>
        <span class="unseen">Time range</span>
        <select value={range.value.name} onChange={({ currentTarget }) => setRange(currentTarget.value)}>
          {ranges.map(({ name, label }) => (
            <option key={name} value={name}>
              {label}
            </option>
          ))}
        </select>
      </label>
      <label>
        <span class="unseen">Colours</span>
        <select
          value={theme.value}
          onChange={({ currentTarget }) => applyTheme(currentTarget.value as Theme)}
        >
          {themes.map((name) => (
            <option key={name} value={name}>
              {name === "system" ? "as the system" : name}
            </option>
          ))}
        </select>
      </label>
    </div>
  );
}

export function Shell({
  title,
  summary,
  children,
}: {
  title: string;
  summary: string;
  children: ComponentChildren;
}) {
  return (
    <div class="shell">
      <a
        class="skip"
        href="#main"
        onClick={(event) => {
          event.preventDefault();
          focusMain();
        }}
      >
        To the figures
      </a>
      <Side />
      <main id="main" tabIndex={-1}>
        <div class="head">
          <h1>{title}</h1>
          <p class="muted" role="status">
            {summary}
          </p>
          <Tools />
        </div>
        {!isConnected.value && (
          <p class="notice" role="alert">
            The hub does not answer: the figures below are the last ones it sent. Trying again.
          </p>
        )}
        {children}
      </main>
    </div>
  );
}
