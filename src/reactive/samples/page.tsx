/** @jsxImportSource preact */
/**
 * What the sample pages share: the frame around them, whether there is a connection, who the visitor is.
 *
 * A page is drawn from one state object whenever a reactive transaction has run; nothing else is kept.
 */
import { type ComponentChildren, render } from "preact";
import { type Client, type ClientOptions, connect } from "../client.ts";

export const apps = [
  {
    path: "/samples/game",
    name: "100 game",
    about: "Two players add 1 to 10 in turn; who reaches 100 wins.",
  },
  {
    path: "/samples/chat",
    name: "Chat room",
    about: "Messages are there at once, and sent when there is a connection.",
  },
  { path: "/samples/retwis", name: "Retwis", about: "Short posts, whom one follows, and likes." },
];

export const CONNECTING = "connecting";

export interface Connection {
  client: Client;
  /** Undefined: there is one. */
  trouble(): string | undefined;
}

/**
 * Connects to the frontend that served the page. A token may stand behind the address: `#token=…`. `more`: what of this page is
 * otherwise.
 */
export async function open(onChange: () => void, more: ClientOptions = {}): Promise<Connection> {
  let trouble: string | undefined = CONNECTING;
  const token = new URLSearchParams(location.hash.slice(1)).get("token") ?? "";
  const client = await connect({
    token,
    ...more,
    onConnection(isConnected, reason) {
      trouble = isConnected ? undefined : reason;
      onChange();
    },
  });
  return { client, trouble: () => trouble };
}

export function show(page: ComponentChildren): void {
  render(page, document.getElementById("page") as HTMLElement);
}

const NAME_KEY = "node-x:name";

/** From the address, else what was said in this tab: two tabs can be two people. */
export function visitor(): string {
  return new URLSearchParams(location.search).get("name") ?? sessionStorage.getItem(NAME_KEY) ?? "";
}

export function rememberVisitor(name: string): void {
  sessionStorage.setItem(NAME_KEY, name);
}

/** The same page, asking who is there. */
function forgetVisitor(): void {
  sessionStorage.removeItem(NAME_KEY);
  const url = new URL(location.href);
  url.searchParams.delete("name");
  if (url.href === location.href) location.reload();
  else location.assign(url);
}

/** Takes the focus when it appears. */
export const focused = (element: HTMLElement | null) => element?.focus();

function statusOf(trouble: string | undefined): string {
  if (trouble === undefined) return "Connected";
  return trouble === CONNECTING ? "Connecting" : `No connection: ${trouble}`;
}

function Status({ name, trouble }: { name: string; trouble: string | undefined }) {
  return (
    <div class="row">
      <p role="status" class={`wide ${trouble === undefined ? "connected" : "disconnected"}`}>
        {statusOf(trouble)}
      </p>
      {name !== "" && (
        <p>
          You are <b>{name}</b>{" "}
          <button type="button" class="small" onClick={forgetVisitor}>
            Be somebody else
          </button>
        </p>
      )}
    </div>
  );
}

/**
 * `call`: what a visitor who looks at another tab should see in this one's title. `status`: who is there, and what of the
 * connection; absent on a page without one.
 */
export function Frame({
  title,
  call,
  status,
  children,
}: {
  title: string;
  call?: string | undefined;
  status?: { name: string; trouble: string | undefined };
  children: ComponentChildren;
}) {
  document.title = call === undefined ? `${title} - node-x` : `${call} - ${title}`;
  return (
    <>
      <header>
        <h1>{title}</h1>
        <nav aria-label="Samples">
          {apps.map(({ path, name }) => (
            <a
              key={path}
              href={path + location.hash}
              aria-current={location.pathname === path ? "page" : undefined}
            >
              {name}
            </a>
          ))}
        </nav>
      </header>
      {status !== undefined && <Status {...status} />}
      <main>{children}</main>
    </>
  );
}

/** Asks for a name before anything else. */
export function NameForm({ onName }: { onName(name: string): void }) {
  const submit = (event: SubmitEvent) => {
    event.preventDefault();
    const name = String(new FormData(event.currentTarget as HTMLFormElement).get("name")).trim();
    if (name !== "") onName(name);
  };
  return (
    <form class="row" onSubmit={submit}>
      <label>
        Your name <input name="name" required maxLength={40} autocomplete="nickname" ref={focused} />
      </label>
      <button type="submit">Go in</button>
    </form>
  );
}
