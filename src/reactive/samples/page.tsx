/** @jsxImportSource preact */
/**
 * What the sample pages share: the frame around them, whether there is a connection, who the visitor is.
 *
 * A page is drawn from one state object whenever a reactive transaction has run; nothing else is kept.
 */
import { type ComponentChildren, render } from "preact";
import { type Client, connect } from "../client.ts";
import { browserStorage } from "../client/storage.ts";

const apps = [
  { path: "/samples/game", name: "100 game" },
  { path: "/samples/chat", name: "Chat room" },
  { path: "/samples/retwis", name: "Retwis" },
];

export interface Connection {
  client: Client;
  /** Undefined: there is one. */
  trouble(): string | undefined;
}

/** Connects to the frontend that served the page. A token may stand behind the address: `#token=…`. */
export async function open(onChange: () => void): Promise<Connection> {
  let trouble: string | undefined = "connecting";
  const token = new URLSearchParams(location.hash.slice(1)).get("token") ?? "";
  const client = await connect({
    token,
    storage: browserStorage("samples"),
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

/** From the address, so that two tabs can be two people; else what was said last time. */
export function visitor(): string {
  return new URLSearchParams(location.search).get("name") ?? localStorage.getItem("node-x:name") ?? "";
}

export function rememberVisitor(name: string): void {
  localStorage.setItem("node-x:name", name);
}

export function Frame({
  title,
  trouble,
  children,
}: {
  title: string;
  trouble: string | undefined;
  children: ComponentChildren;
}) {
  document.title = `${title} - node-x`;
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
      <p role="status" class={trouble === undefined ? "connected" : "disconnected"}>
        {trouble === undefined ? "Connected" : `No connection: ${trouble}`}
      </p>
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
        Your name <input name="name" required maxLength={40} autocomplete="nickname" />
      </label>
      <button type="submit">Go in</button>
    </form>
  );
}
