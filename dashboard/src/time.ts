// React hooks around the clock.
import { useEffect, useRef, useState } from "react";
import { api } from "./api";

/** The server's time in milliseconds, renewed every `interval` ms. */
export function useNow(interval: number): number {
  const [now, setNow] = useState(() => api.now());
  useEffect(() => {
    const timer = setInterval(() => setNow(api.now()), interval);
    return () => clearInterval(timer);
  }, [interval]);
  return now;
}

/** Seconds left of a wait that begins whenever `start` becomes another object; 0 without one. */
export function useCountdown(start: { retryAfter: number | null } | null): number {
  const seconds = start?.retryAfter ?? 0;
  const [left, setLeft] = useState(seconds);
  useEffect(() => {
    setLeft(seconds);
    if (seconds <= 0) return undefined;
    const end = Date.now() + seconds * 1000;
    const timer = setInterval(() => {
      const rest = Math.ceil((end - Date.now()) / 1000);
      setLeft(Math.max(0, rest));
      if (rest <= 0) clearInterval(timer);
    }, 250);
    return () => clearInterval(timer);
    // A new refusal is a new object, even when it names the same seconds.
  }, [start, seconds]);
  return left;
}

/** Sets the tab's title and, after a change of page, moves the focus to its heading. */
export function usePageTitle(title: string): React.RefObject<HTMLHeadingElement | null> {
  const heading = useRef<HTMLHeadingElement>(null);
  useEffect(() => {
    document.title = title === "" ? "Muster" : `${title} \u00b7 Muster`;
  }, [title]);
  useEffect(() => {
    // Only when a link was followed: on the first load the focus belongs to the browser.
    if (window.history.state === null && document.activeElement !== document.body) return;
    heading.current?.focus({ preventScroll: true });
  }, []);
  return heading;
}
