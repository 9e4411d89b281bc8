// Plays a recording as it happened; long pauses are cut short.
import { useQuery } from "@tanstack/react-query";
import { useEffect, useRef, useState } from "react";
import { clock } from "../age";
import { explain } from "../explain";
import { Loading, Problem } from "../ui/parts";
import { recording } from "./api";
import { parseCast, type Cast, type CastEvent } from "./cast";
import { Screen } from "./screen";

/** Longest pause that is kept, in seconds. */
const PAUSE = 2;

/** A recording. */
export function Player({ terminal }: { terminal: string }) {
  const cast = useQuery({
    queryKey: ["recording", terminal],
    queryFn: async () => parseCast(await recording(terminal)),
    gcTime: 0,
    staleTime: Infinity,
    refetchOnWindowFocus: false,
    refetchOnReconnect: false,
  });
  if (cast.isPending) return <Loading what="Fetching the recording" />;
  if (cast.isError) return <Problem error={explain(cast.error, "load")} />;
  if (cast.data === null) return <p>This is no recording that this page can play. Download it instead.</p>;
  return <Playing cast={cast.data} />;
}

function Playing({ cast }: { cast: Cast }) {
  const place = useRef<HTMLDivElement>(null);
  const screen = useRef<Screen | null>(null);
  const next = useRef(0);
  const [playing, setPlaying] = useState(true);
  const [at, setAt] = useState(0);
  useEffect(() => {
    if (place.current === null) return undefined;
    const shown = new Screen(place.current, { fixed: { cols: cast.cols, rows: cast.rows }, readOnly: true });
    screen.current = shown;
    return () => {
      screen.current = null;
      next.current = 0;
      shown.close();
    };
  }, [cast]);
  useEffect(() => {
    if (!playing) return undefined;
    let timer = 0;
    const step = () => {
      const event = cast.events[next.current];
      if (event === undefined || screen.current === null) {
        setPlaying(false);
        return;
      }
      show(event, screen.current);
      next.current += 1;
      setAt(event.at);
      const after = cast.events[next.current];
      timer = window.setTimeout(step, after === undefined ? 0 : Math.min(PAUSE, after.at - event.at) * 1000);
    };
    timer = window.setTimeout(step, 0);
    return () => window.clearTimeout(timer);
  }, [playing, cast]);
  const done = next.current >= cast.events.length;
  const toEnd = () => {
    if (screen.current === null) return;
    for (const event of cast.events.slice(next.current)) show(event, screen.current);
    next.current = cast.events.length;
    setPlaying(false);
    setAt(cast.length);
  };
  const fromStart = () => {
    screen.current?.terminal.reset();
    screen.current?.terminal.resize(cast.cols, cast.rows);
    next.current = 0;
    setAt(0);
    setPlaying(true);
  };
  return (
    <div className="player">
      <div className="terminal-place player-place" ref={place} tabIndex={0} role="region" aria-label="What was shown" />
      <div className="terminal-bar">
        <p role="timer">
          {clock(Math.floor(at))} of {clock(Math.floor(cast.length))}
        </p>
        <button type="button" className="button button-small" onClick={() => (done ? fromStart() : setPlaying(!playing))}>
          {done ? "Play again" : playing ? "Pause" : "Go on"}
        </button>
        <button type="button" className="button button-small" disabled={done} onClick={toEnd}>
          To the end
        </button>
      </div>
    </div>
  );
}

function show({ what }: CastEvent, { terminal }: Screen): void {
  if ("show" in what) terminal.write(what.show);
  else terminal.resize(what.cols, what.rows);
}
