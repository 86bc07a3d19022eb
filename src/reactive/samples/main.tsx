/** @jsxImportSource preact */
/** The script of the sample pages: draws the one whose address it is. */
import { chatPage } from "./chat/page.tsx";
import { gamePage } from "./game/page.tsx";
import { Frame, show } from "./page.tsx";
import { retwisPage } from "./retwis/page.tsx";

function indexPage(): void {
  show(
    <Frame title="Samples" trouble={undefined}>
      <p>
        Small applications on the transactional store. Open one of them in two tabs: what one does, the other
        one shows.
      </p>
      <p>
        The client library that they use is at <a href="/client.js">/client.js</a>.
      </p>
    </Frame>,
  );
}

const pages: Record<string, () => void | Promise<void>> = {
  "/samples": indexPage,
  "/samples/game": gamePage,
  "/samples/chat": chatPage,
  "/samples/retwis": retwisPage,
};

await pages[location.pathname]?.();
