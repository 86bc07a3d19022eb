/** @jsxImportSource preact */
/** The chat room as a page. Messages that are not sent yet are there at once, and marked. */
import { realClock } from "../../../core/seams/clock.ts";
import { type Connection, Frame, NameForm, open, rememberVisitor, show, visitor } from "../page.tsx";
import { type Message, posterOf, readMessages, roomOf } from "./chat.ts";

const time = (atMs: number) => new Date(atMs).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" });

export async function chatPage(): Promise<void> {
  const roomName = new URLSearchParams(location.search).get("room") ?? "lobby";
  let name = visitor();
  let messages: Message[] = [];
  let pending = 0;
  let connection: Connection | undefined;
  connection = await open(draw);
  const { client } = connection;
  const post = posterOf(client, roomName);

  const send = (event: SubmitEvent) => {
    event.preventDefault();
    const form = event.currentTarget as HTMLFormElement;
    const text = String(new FormData(form).get("text")).trim();
    if (text === "") return;
    form.reset();
    void post({ from: name, text, atMs: realClock.nowMs() });
  };

  function draw(): void {
    show(
      <Frame
        title={`Chat room: ${roomName}`}
        trouble={connection === undefined ? "connecting" : connection.trouble()}
      >
        {name === "" ? (
          <NameForm
            onName={(given) => {
              name = given;
              rememberVisitor(name);
              draw();
            }}
          />
        ) : (
          <>
            <div id="messages" role="log" aria-label="Messages" tabIndex={0}>
              <ol>
                {messages.map(({ from, text, atMs }, index) => {
                  const isPending = index >= messages.length - pending;
                  return (
                    <li key={`${atMs} ${from} ${index}`} class={isPending ? "pending" : ""}>
                      <b>{from}</b> <time>{time(atMs)}</time> {text}
                      {isPending && <span class="note"> (not sent yet)</span>}
                    </li>
                  );
                })}
              </ol>
            </div>
            <form class="row" onSubmit={send}>
              <label class="wide">
                Message as {name} <input name="text" required maxLength={2000} autocomplete="off" />
              </label>
              <button type="submit">Send</button>
            </form>
          </>
        )}
      </Frame>,
    );
    const log = document.getElementById("messages");
    log?.scrollTo(0, log.scrollHeight);
  }

  client.executeReactive(
    async (transaction, run) => {
      messages = await readMessages(transaction, roomOf(roomName));
      ({ pending } = run);
      draw();
    },
    { optimistic: true },
  );
}
