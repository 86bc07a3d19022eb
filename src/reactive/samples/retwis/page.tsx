/** @jsxImportSource preact */
/** Retwis as a page. */
import type { ReactiveHandle } from "../../client.ts";
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
import { addUser, follow, type Home, like, post, readHome } from "./retwis.ts";

export async function retwisPage(): Promise<void> {
  let name = visitor();
  let which: "own" | "all" = "all";
  /** Of the timeline that is shown; undefined: not known yet. */
  let home: Home | undefined;
  let notice = "";
  let handle: ReactiveHandle | undefined;
  let connection: Connection | undefined;
  connection = await open(draw);
  const { client } = connection;

  /** Resolves with whether it is done; what goes wrong is told on the page. */
  const attempt = async (action: Promise<unknown>): Promise<boolean> => {
    notice = await action.then(
      () => "",
      (error: unknown) => (error instanceof Error ? error.message : String(error)),
    );
    draw();
    return notice === "";
  };
  const enter = (given: string) => {
    name = given;
    rememberVisitor(name);
    void attempt(addUser(client, name));
    look("all");
  };
  /** Another read set is another reactive transaction. */
  function look(at: "own" | "all"): void {
    which = at;
    home = undefined;
    void handle?.stop();
    handle = client.executeReactive(async (transaction) => {
      const read = await readHome(transaction, name, at);
      // A run that had begun is finished, whatever is shown by then.
      if (which !== at) return;
      home = read;
      draw();
    });
    draw();
  }
  const send = (event: SubmitEvent) => {
    event.preventDefault();
    const form = event.currentTarget as HTMLFormElement;
    const text = String(new FormData(form).get("text")).trim();
    if (text === "") return;
    form.reset();
    void attempt(post(client, name, text)).then((isDone) => {
      const field = form.elements.namedItem("text") as HTMLInputElement;
      // What was not posted is not lost.
      if (!isDone && field.value === "") field.value = text;
    });
  };

  function Timeline() {
    if (home === undefined) return <p class="note">What was posted is being fetched.</p>;
    if (home.posts.length === 0)
      return (
        <p class="note">
          {which === "all" ? "Nobody has posted yet." : "Nothing yet from those whom you follow."}
        </p>
      );
    return (
      <ol id="posts" aria-label="Posts" aria-live="polite">
        {home.posts.map(({ id, author, text, likes, isLiked }) => (
          <li key={id}>
            <b>{author}</b> {text}{" "}
            <button
              type="button"
              aria-disabled={isLiked}
              aria-label={`${isLiked ? "Liked" : "Like"}: ${text}`}
              onClick={() => !isLiked && attempt(like(client, name, id))}
            >
              {isLiked ? "Liked" : "Like"}
            </button>{" "}
            <span class="likes">
              {likes} {likes === 1 ? "like" : "likes"}
            </span>
          </li>
        ))}
      </ol>
    );
  }
  function People() {
    return (
      <ul id="people">
        {home?.users
          .filter((user) => user.name !== name)
          .map((user) => (
            <li key={user.name}>
              {user.name}{" "}
              <button
                type="button"
                aria-label={`${user.isFollowed ? "Stop following" : "Follow"} ${user.name}`}
                onClick={() => attempt(follow(client, name, user.name, !user.isFollowed))}
              >
                {user.isFollowed ? "Stop following" : "Follow"}
              </button>
            </li>
          ))}
      </ul>
    );
  }

  function draw(): void {
    show(
      <Frame
        title="Retwis"
        status={{ name, trouble: connection === undefined ? CONNECTING : connection.trouble() }}
      >
        {name === "" ? (
          <NameForm onName={enter} />
        ) : (
          <>
            <form class="row" onSubmit={send}>
              <label class="wide">
                Post as {name} <input name="text" required maxLength={280} autocomplete="off" ref={focused} />
              </label>
              <button type="submit">Post</button>
            </form>
            <div class="row" role="group" aria-label="Timeline">
              <button type="button" aria-pressed={which === "all"} onClick={() => look("all")}>
                Everybody
              </button>
              <button type="button" aria-pressed={which === "own"} onClick={() => look("own")}>
                Whom I follow
              </button>
            </div>
            <h2>Posts</h2>
            <Timeline />
            <h2>People</h2>
            <People />
            <p role="alert">{notice}</p>
          </>
        )}
      </Frame>,
    );
  }

  draw();
  if (name !== "") enter(name);
}
