/** @jsxImportSource preact */
/** The script of the sample pages: draws the one whose address it is. */
import { chatPage } from "./chat/page.tsx";
import { gamePage } from "./game/page.tsx";
import { apps, Frame, show } from "./page.tsx";
import { retwisPage } from "./retwis/page.tsx";

function indexPage(): void {
  show(
    <Frame title="Samples">
      <p>
        Small applications on the transactional store. Open one of them in two tabs: what one does, the other
        one shows.
      </p>
      <ul>
        {apps.map(({ path, name, about }) => (
          <li key={path}>
            <a href={path + location.hash}>{name}</a>: {about} As{" "}
            {["Ada", "Bob"].map((visitor, index) => (
              <>
                {index > 0 && " or "}
                <a
                  href={`${path}?name=${visitor}${location.hash}`}
                  target="_blank"
                  aria-label={`${name} as ${visitor}`}
                >
                  {visitor}
                </a>
              </>
            ))}
          </li>
        ))}
      </ul>
      <p>
        The client library that they use is at <a href="/client.js">/client.js</a>, its types at{" "}
        <a href="/client.d.ts">/client.d.ts</a>.
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
