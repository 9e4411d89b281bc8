// The log of a job: its end, and what comes while the job runs. Whatever a task prints is shown as text.
import { useEffect, useLayoutEffect, useMemo, useRef, useState } from "react";
import { api, at } from "../../api";
import { explain, type Explained } from "../../explain";
import { Loading, Problem } from "../../ui/parts";
import { beginning, displayed, grown, NOTHING, type Shown } from "./log";
import "../../styles/flow.css";

/** Seconds for which the server holds an answer until there is more. */
const WAIT = 15;
/** Milliseconds between answers that come at once and empty, as from a server that lets its callers go. */
const PAUSE = 1_000;
/** Milliseconds until another try after a failure. */
const AGAIN = 5_000;
/** Pixels from the end within which somebody counts as reading the end. */
const NEAR = 24;

interface JobLogProps {
  job: string;
  /** Whether there will be more: the job has not ended. */
  live: boolean;
  /** What the log is of, for screen readers. */
  of?: string;
}

/** The log. It stays at its end while that is in sight. */
export function JobLog({ job, live, of = "the job" }: JobLogProps) {
  const { shown, loaded, problem, retry } = useLog(job, live);
  const text = useMemo(() => displayed(shown), [shown]);
  const box = useRef<HTMLPreElement>(null);
  const atEnd = useRef(true);
  useLayoutEffect(() => {
    if (box.current !== null && atEnd.current) box.current.scrollTop = box.current.scrollHeight;
  }, [text]);
  const heedScroll = () => {
    const { current } = box;
    if (current !== null) atEnd.current = current.scrollHeight - current.scrollTop - current.clientHeight < NEAR;
  };
  return (
    <div className="job-log">
      {shown.cut && <p className="hint">Only the end of this long log is shown here. Download it to read it whole.</p>}
      {problem !== null && <Problem error={problem} again={{ label: "Try again", act: retry }} />}
      {!loaded && problem === null && <Loading what="Loading the log" />}
      {loaded && text === "" && <p className="hint">{live ? "Nothing was printed yet." : "Nothing was printed."}</p>}
      {text !== "" && (
        <pre ref={box} className="log-text" tabIndex={0} role="region" aria-label={`Log of ${of}`} onScroll={heedScroll}>
          {text}
        </pre>
      )}
      <p className="log-foot">
        <a href={`/api/v3${at("jobs", job, "log")}`} download={`job-${job}.log`}>
          Download the whole log
        </a>
        {live && loaded && <span className="log-live">Follows the job as it runs</span>}
      </p>
    </div>
  );
}

interface Log {
  shown: Shown;
  loaded: boolean;
  problem: Explained | null;
  retry(): void;
}

/** Reads a log, and goes on for as long as there may be more. */
function useLog(job: string, live: boolean): Log {
  const [shown, setShown] = useState<Shown>(NOTHING);
  const [loaded, setLoaded] = useState(false);
  const [problem, setProblem] = useState<Explained | null>(null);
  const [attempt, setAttempt] = useState(0);
  const follow = useRef(live);
  const ended = useRef(false);
  const retry = () => setAttempt((count) => count + 1);
  useEffect(() => {
    follow.current = live;
    // It was read to its end before it was known to go on.
    if (live && ended.current) retry();
  }, [live]);
  useEffect(() => {
    const stop = new AbortController();
    const heed = ({ text, begins, cut }: Piece) => {
      setShown((before) => grown(begins ? { text: "", cut } : before, text));
      setLoaded(true);
      setProblem(null);
    };
    ended.current = false;
    read(at("jobs", job, "log"), follow, heed, stop.signal).then(
      () => (ended.current = true),
      (error: unknown) => {
        if (!stop.signal.aborted) setProblem(explain(error, "load"));
      },
    );
    return () => stop.abort();
  }, [job, attempt]);
  const away = problem !== null && live;
  useEffect(() => {
    if (!away) return undefined;
    const timer = setTimeout(retry, AGAIN);
    return () => clearTimeout(timer);
  }, [away, attempt]);
  return { shown, loaded, problem, retry };
}

/** What comes of a log. */
interface Piece {
  text: string;
  /** Whether it is the first piece, in place of whatever was shown. */
  begins: boolean;
  /** Whether something before it is left out. */
  cut: boolean;
}

/** Hands on what there is from the beginning of what is shown, then what comes, until it is stopped. */
async function read(
  path: string,
  follow: { readonly current: boolean },
  heed: (piece: Piece) => void,
  stop: AbortSignal,
): Promise<void> {
  const { length } = await api.log(path, null, 0, stop);
  const { offset, cut } = beginning(length);
  const decoder = new TextDecoder();
  let [next, begins] = [offset, true];
  while (!stop.aborted) {
    const asked = performance.now();
    const { bytes } = await api.log(path, next, begins || !follow.current ? 0 : WAIT, stop);
    next += bytes.length;
    if (begins || bytes.length > 0) heed({ text: decoder.decode(bytes, { stream: true }), begins, cut });
    begins = false;
    if (bytes.length > 0) continue;
    if (!follow.current) return;
    if (performance.now() - asked < PAUSE) await new Promise((done) => setTimeout(done, PAUSE));
  }
}
