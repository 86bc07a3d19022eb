/** @jsxImportSource preact */
/**
 * The chat room as a page. Messages that are not sent yet are there at once, and marked; one that the store refuses for good
 * disappears again, and its text is back where it was written.
 */
import { browserStorage } from "../../client.ts";
import { realClock } from "../../../core/seams/clock.ts";
import {
  CONNECTING,
  type Connection,
  focused,
  Frame,
  NameForm,
  open,
  rememberVisitor,
  show,
  visitor,
} from "../page.tsx";
import { type Message, posterOf, readMessages, roomOf } from "./chat.ts";

const time = (atMs: number) => new Date(atMs).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" });
/** Who has scrolled up by more than this reads what was said before. */
const AT_END_PIXELS = 40;

const logElement = () => document.getElementById("messages");

function isAtEnd(): boolean {
  const log = logElement();
  return log === null || log.scrollHeight - log.scrollTop - log.clientHeight < AT_END_PIXELS;
}

export async function chatPage(): Promise<void> {
  const roomName = new URLSearchParams(location.search).get("room") ?? "lobby";
  let name = visitor();
  /** Undefined: not known yet. */
  let messages: Message[] | undefined;
  let pending = 0;
  let notice = "";
  let connection: Connection | undefined;
  draw();
  connection = await open(draw, { storage: browserStorage("samples") });
  const { client } = connection;
  const post = posterOf(client, roomName);

  function refused(text: string, error: unknown): void {
    notice = `Not sent: "${text}". ${error instanceof Error ? error.message : String(error)}`;
    draw();
    const field = document.querySelector<HTMLInputElement>("input[name=text]");
    if (field?.value === "") field.value = text;
  }
  function send(event: SubmitEvent): void {
    event.preventDefault();
    const form = event.currentTarget as HTMLFormElement;
    const text = String(new FormData(form).get("text")).trim();
    if (text === "") return;
    form.reset();
    notice = "";
    post({ from: name, text, atMs: realClock.nowMs() })
      .then(({ settled }) => settled)
      .catch((error: unknown) => refused(text, error));
  }

  function Messages() {
    if (messages === undefined) return <p class="note">What was said is being fetched.</p>;
    const firstPending = messages.length - pending;
    return (
      <div id="messages" role="log" aria-label="Messages" tabIndex={0}>
        {messages.length === 0 && <p class="note">Nothing was said here yet.</p>}
        <ol>
          {messages.map(({ from, text, atMs }, index) => {
            const isPending = index >= firstPending;
            return (
              <li key={`${atMs} ${from} ${index}`} class={isPending ? "pending" : ""}>
                <b>{from}</b> <time dateTime={new Date(atMs).toISOString()}>{time(atMs)}</time> {text}
                {isPending && <span class="note"> (not sent yet)</span>}
              </li>
            );
          })}
        </ol>
      </div>
    );
  }

  function draw(): void {
    const isFollowing = isAtEnd();
    show(
      <Frame
        title={`Chat room: ${roomName}`}
        status={{ name, trouble: connection === undefined ? CONNECTING : connection.trouble() }}
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
            <Messages />
            <form class="row" onSubmit={send}>
              <label class="wide">
                Message as {name}{" "}
                <input name="text" required maxLength={2000} autocomplete="off" ref={focused} />
              </label>
              <button type="submit" disabled={connection === undefined}>
                Send
              </button>
            </form>
            <p role="alert">{notice}</p>
          </>
        )}
      </Frame>,
    );
    if (isFollowing) logElement()?.scrollTo(0, logElement()?.scrollHeight ?? 0);
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
