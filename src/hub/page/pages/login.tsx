/** @jsxImportSource preact */
/** The way in, on a hub that demands a password. */
import { useState } from "preact/hooks";
import { login } from "../server.ts";

export function LoginPage() {
  const [trouble, setTrouble] = useState("");
  const enter = async (event: SubmitEvent) => {
    event.preventDefault();
    const { value } = (event.currentTarget as HTMLFormElement).elements.namedItem(
      "password",
    ) as HTMLInputElement;
    try {
      await login(value);
    } catch (error) {
      setTrouble((error as Error).message);
    }
  };
  return (
    <main>
      <form class="login" onSubmit={(event) => void enter(event)}>
        <h1>This cluster</h1>
        <label>
          Password
          <input name="password" type="password" autocomplete="current-password" required />
        </label>
        {trouble !== "" && (
          <p role="alert" class="bad-text">
            {trouble}
          </p>
        )}
        <button type="submit" class="primary">
          Log in
        </button>
      </form>
    </main>
  );
}
