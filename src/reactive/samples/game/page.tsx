/** @jsxImportSource preact */
/** The 100 game as a page. */
import { type Connection, Frame, NameForm, open, rememberVisitor, show, visitor } from "../page.tsx";
import { gameOf, type GameState, GOAL, join, move, POINTS_MAX, readState, restart } from "./game.ts";

const points = Array.from({ length: POINTS_MAX }, (_, index) => index + 1);

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
  let connection: Connection | undefined;
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
        notice = String(error);
        draw();
      },
    );
  }
  const enter = (given: string) => {
    name = given;
    rememberVisitor(name);
    attempt(() => join(client, game, name));
  };

  function draw(): void {
    const isMine = state.next === name && state.players.length > 1;
    show(
      <Frame title="100 game" trouble={connection === undefined ? "connecting" : connection.trouble()}>
        {name === "" ? (
          <NameForm onName={enter} />
        ) : (
          <>
            <p class="large" aria-live="polite">
              {whatNow(state, name)}
            </p>
            <progress max={GOAL} value={Math.min(state.score, GOAL)} aria-label="Score" />
            <p>
              Score <output id="score">{state.score}</output> of {GOAL}
            </p>
            <div class="row" role="group" aria-label="Your move">
              {points.map((each) => (
                <button
                  key={each}
                  type="button"
                  disabled={!isMine}
                  onClick={() => attempt(() => move(client, game, name, each))}
                >
                  {each}
                </button>
              ))}
            </div>
            <h2>Players</h2>
            <ol id="players">
              {state.players.map((player) => (
                <li key={player} aria-current={player === state.next ? "true" : undefined}>
                  {player}
                </li>
              ))}
            </ol>
            <button type="button" onClick={() => attempt(() => restart(client, game))}>
              Start again from 0
            </button>
            <p role="alert">{notice}</p>
          </>
        )}
      </Frame>,
    );
  }

  client.executeReactive(async (transaction) => {
    state = await readState(transaction, game);
    draw();
  });
  if (name !== "") enter(name);
}
