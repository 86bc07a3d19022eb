/** The width of a drawing in pixels, followed: what is drawn in pixels keeps its letters as large as those of the page. */
import { type RefObject } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";

const WIDTH_MIN = 120;
/** Until the element is there. */
const WIDTH_FIRST = 400;

export function useWidth(): readonly [RefObject<SVGSVGElement | null>, number] {
  const element = useRef<SVGSVGElement>(null);
  const [width, setWidth] = useState(WIDTH_FIRST);
  useEffect(() => {
    if (element.current === null) return undefined;
    const observer = new ResizeObserver(([entry]) =>
      setWidth(Math.max(WIDTH_MIN, entry?.contentRect.width ?? WIDTH_FIRST)),
    );
    observer.observe(element.current);
    return () => observer.disconnect();
  }, []);
  return [element, width];
}
