// React hooks around the clock.
import { useCallback, useEffect, useMemo, useReducer, useRef, useState } from "react";
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

/**
 * The server's clock, which ticks exactly when something that is shown will look different: `next` says when,
 * in milliseconds since 1970.
 */
export function useTurns(next: (now: number) => number | null): number {
  const [turns, turn] = useReducer((count: number) => count + 1, 0);
  // The time of the last turn: rows are drawn anew for that alone. What came since is due already, and turns.
  const now = useMemo(() => api.now(), [turns]);
  const due = next(now);
  useEffect(() => {
    if (due === null) return undefined;
    // A browser may wake a moment too early; a day is the most that a timer is trusted with.
    const wait = Math.min(Math.max(due - api.now(), 20), 86_400_000);
    const timer = setTimeout(turn, wait);
    return () => clearTimeout(timer);
  }, [due, turns]);
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

/** A value once it has rested for `rest` ms: for what is asked while somebody types. */
export function useDebounced<Value>(value: Value, rest: number): Value {
  const [rested, setRested] = useState(value);
  useEffect(() => {
    const timer = setTimeout(() => setRested(value), rest);
    return () => clearTimeout(timer);
  }, [value, rest]);
  return rested;
}

/** A function that acts once for all calls within `rest` ms, and then again: for events that come in numbers. */
export function useGathered(act: () => void, rest: number): () => void {
  const latest = useRef(act);
  useEffect(() => {
    latest.current = act;
  });
  const timer = useRef<ReturnType<typeof setTimeout> | undefined>(undefined);
  useEffect(
    () => () => {
      clearTimeout(timer.current);
      timer.current = undefined;
    },
    [],
  );
  return useCallback(() => {
    timer.current ??= setTimeout(() => {
      timer.current = undefined;
      latest.current();
    }, rest);
  }, [rest]);
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
