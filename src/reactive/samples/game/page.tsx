/** @jsxImportSource preact */
/** The 100 game as a page. It can be played with the mouse, or with the keys 1 to 9, and 0 for 10, while the moves have the focus. */
import {
  CONNECTING,
  type Connection,
  Frame,
  NameForm,
  open,
  rememberVisitor,
  show,
  visitor,
} from "../page.tsx";
import { gameOf, type GameState, GOAL, join, leave, move, POINTS_MAX, readState, restart } from "./game.ts";

const points = Array.from({ length: POINTS_MAX }, (_, index) => index + 1);
const keyOf = (move: number) => String(move % 10);

function whatNow({ next, winner, players }: GameState, name: string): string {
  if (winner !== undefined) return winner === name ? "You have won." : `${winner} has won.`;
  if (players.length < 2) return "Waiting for a second player: open this page in another tab.";
  return next === name ? "It is your turn." : `It is ${next}'s turn.`;
}

export async function gamePage(): Promise<void> {
  const game = gameOf(new URLSearchParams(location.search).get("game") ?? "");
  let name = visitor();
  let notice = "";
  let state: GameState = { players: [], score: 0, next: undefined, winner: undefined };
  let isKnown = false;
  let connection: Connection | undefined;
  draw();
  connection = await open(draw);
  const { client } = connection;

  /** What goes wrong is told on the page. */
  function attempt(action: () => Promise<unknown>): void {
    action().then(
      (result) => {
        notice = result === "not your turn" ? "Somebody was faster: it is not your turn." : "";
        draw();
      },
      (error: unknown) => {
        notice = error instanceof Error ? error.message : String(error);
        draw();
      },
    );
  }
  function enter(given: string): void {
    name = given;
    rememberVisitor(name);
    attempt(() => join(client, game, name));
  }
  function isMine(): boolean {
    return state.next === name && state.players.length > 1;
  }
  function play(each: number): void {
    if (isMine()) attempt(() => move(client, game, name, each));
  }
  function onKey({ key, altKey, ctrlKey, metaKey }: KeyboardEvent): void {
    const each = points.find((move) => keyOf(move) === key);
    if (each !== undefined && !altKey && !ctrlKey && !metaKey) play(each);
  }

  /** A button that is not to be used keeps the focus, so that whoever plays with the keyboard stays where he is. */
  function Moves() {
    return (
      <div class="row" role="group" aria-label="Your move" onKeyDown={onKey}>
        {points.map((each) => (
          <button
            key={each}
            type="button"
            aria-disabled={!isMine()}
            aria-keyshortcuts={keyOf(each)}
            onClick={() => play(each)}
          >
            {each}
          </button>
        ))}
      </div>
    );
  }
  function Players() {
    return (
      <ol id="players">
        {state.players.map((player) => (
          <li key={player} aria-current={player === state.next ? "true" : undefined}>
            <span>{player}</span>{" "}
            <button
              type="button"
              class="small"
              aria-label={player === name ? "Leave the game" : `Take out ${player}`}
              onClick={() => attempt(() => leave(client, game, player))}
            >
              {player === name ? "Leave" : "Take out"}
            </button>
          </li>
        ))}
      </ol>
    );
  }
  function Table() {
    return (
      <>
        <p class="large" aria-live="polite">
          {isKnown ? whatNow(state, name) : ""}
        </p>
        <progress max={GOAL} value={Math.min(state.score, GOAL)} aria-label="Score" />
        <p>
          Score <output id="score">{state.score}</output> of {GOAL}
        </p>
        <Moves />
        <h2>Players</h2>
        <Players />
        <div class="row">
          {isKnown && !state.players.includes(name) && (
            <button type="button" onClick={() => enter(name)}>
              Take part
            </button>
          )}
          <button type="button" onClick={() => attempt(() => restart(client, game))}>
            Start again from 0
          </button>
        </div>
        <p role="alert">{notice}</p>
      </>
    );
  }

  function draw(): void {
    show(
      <Frame
        title="100 game"
        call={isMine() ? "Your turn" : undefined}
        status={{ name, trouble: connection === undefined ? CONNECTING : connection.trouble() }}
      >
        {connection !== undefined && (name === "" ? <NameForm onName={enter} /> : <Table />)}
      </Frame>,
    );
  }

  client.executeReactive(async (transaction) => {
    state = await readState(transaction, game);
    isKnown = true;
    draw();
  });
  if (name !== "") enter(name);
}
