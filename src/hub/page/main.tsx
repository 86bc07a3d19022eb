/** @jsxImportSource preact */
/** The page: who the reader is, then the page that the address names. */
import { render, type ComponentChildren, type FunctionComponent } from "preact";
import { useEffect, useErrorBoundary, useRef } from "preact/hooks";
import type { Family } from "../messages.ts";
import { hub, isConnected, listen, rows } from "./live.ts";
import { BackupPage } from "./pages/backup.tsx";
import { ChannelsPage } from "./pages/channels.tsx";
import { HappeningsPage } from "./pages/happenings.tsx";
import { InstancePage } from "./pages/instance.tsx";
import { LoginPage } from "./pages/login.tsx";
import { OverviewPage, summaryOf } from "./pages/overview.tsx";
import { PresencePage } from "./pages/presence.tsx";
import { StorePage } from "./pages/store.tsx";
import { StreamPage } from "./pages/stream.tsx";
import { item, page } from "./route.ts";
import { loadSession, session } from "./server.ts";
import { focusMain, Shell, titleOf } from "./shell.tsx";
import { applyTheme, theme } from "./theme.ts";

const pages: Record<Family | "happenings" | "instance", FunctionComponent> = {
  channels: ChannelsPage,
  store: StorePage,
  backup: BackupPage,
  presence: PresencePage,
  stream: StreamPage,
  happenings: HappeningsPage,
  instance: InstancePage,
};

/** A defect in one page must not take the others, nor the list of pages. */
function Guarded({ children }: { children: ComponentChildren }) {
  const [error, reset] = useErrorBoundary((failure: Error) => console.error(failure));
  if (error === undefined) return <>{children}</>;
  return (
    <p class="notice" role="alert">
      This page cannot be drawn: {(error as Error).message}.{" "}
      <button type="button" onClick={reset}>
        Try again
      </button>
    </p>
  );
}

function App() {
  const name = page.value;
  const isLater = useRef(false);
  useEffect(() => listen(name), [name]);
  useEffect(() => {
    scrollTo(0, 0);
    // The link that led here is gone with its page: whoever uses the keyboard goes on in the new one.
    if (isLater.current && document.activeElement === document.body) focusMain();
    isLater.current = true;
  }, [name, item.value]);
  const about = hub.value;
  if (about === undefined)
    return (
      <main>
        <p class="muted">
          {isConnected.value ? "Connecting to the hub." : "The hub does not answer. Trying again."}
        </p>
      </main>
    );
  const summary = summaryOf(rows.value);
  document.title = `${summary} – ${about.prefix ?? about.name}`;
  const Shown = Object.hasOwn(pages, name) ? pages[name as Family] : OverviewPage;
  return (
    <Shell
      title={name === "instance" ? item.value : titleOf(Object.hasOwn(pages, name) ? name : "")}
      summary={summary}
    >
      <Guarded key={`${name} ${item.value}`}>
        <Shown />
      </Guarded>
    </Shell>
  );
}

function Entrance() {
  const who = session.value;
  if (who === undefined) return null;
  return who.isOpen ? <App /> : <LoginPage />;
}

/** Until the hub answers for the first time. */
async function knock(): Promise<void> {
  for (;;) {
    try {
      return await loadSession();
    } catch {
      await new Promise((resolve) => setTimeout(resolve, 1000));
    }
  }
}

applyTheme(theme.value);
render(<Entrance />, document.getElementById("page") as HTMLElement);
void knock();
