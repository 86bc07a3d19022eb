/** @jsxImportSource preact */
/** A button for something that changes the cluster: it asks before it does, and says what came of it. */
import { useRef, useState } from "preact/hooks";
import { act, session } from "../server.ts";

interface ActionProps {
  action: string;
  request: Record<string, string>;
  label: string;
  /** What will happen, for whoever is about to do it. */
  consequence: string;
  /** It takes nothing away. */
  isHarmless?: boolean;
}

/** Nothing where the hub allows no actions. */
export function ActionButton({ action, request, label, consequence, isHarmless = false }: ActionProps) {
  const dialog = useRef<HTMLDialogElement>(null);
  const [outcome, setOutcome] = useState<string | undefined>(undefined);
  const [isBusy, setBusy] = useState(false);
  if (session.value?.csrf === undefined) return null;
  const perform = async () => {
    setBusy(true);
    try {
      setOutcome(await act(action, request));
    } catch (error) {
      setOutcome(`It was not done: ${(error as Error).message}`);
    }
    setBusy(false);
  };
  return (
    <>
      <button
        type="button"
        class={isHarmless ? "" : "danger"}
        onClick={() => {
          setOutcome(undefined);
          dialog.current?.showModal();
        }}
      >
        {label}…
      </button>
      <dialog ref={dialog} aria-label={label}>
        <h2>{label}?</h2>
        <p>{consequence}</p>
        {outcome !== undefined && <p role="status">{outcome}</p>}
        <div class="buttons">
          <button type="button" onClick={() => dialog.current?.close()}>
            {outcome === undefined ? "Cancel" : "Close"}
          </button>
          {outcome === undefined && (
            <button
              type="button"
              class={isHarmless ? "primary" : "danger"}
              disabled={isBusy}
              onClick={() => void perform()}
            >
              {label}
            </button>
          )}
        </div>
      </dialog>
    </>
  );
}
