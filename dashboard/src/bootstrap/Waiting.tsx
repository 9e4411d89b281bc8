// Machines that ask to be registered: approvable without typing a code, by comparing the
// fingerprint instead.
import { useQuery } from "@tanstack/react-query";
import { ApiError, api } from "../api";
import { localTime } from "../age";
import { ENROLLMENTS } from "../live";
import { useNow } from "../time";
import type { EnrollmentPreview } from "../wire";
import { inWords } from "./approval";

/** Longest silence in seconds after which a machine can still be approved. */
const SILENT = 90;

/** The list of waiting machines; nothing while there are none. */
export function Waiting({ review }: { review(preview: EnrollmentPreview): void }) {
  const now = useNow(10_000);
  const waiting = useQuery({
    queryKey: ENROLLMENTS,
    queryFn: () => api.enrollments(),
    refetchInterval: 10_000,
    retry: false,
  });
  if (waiting.error instanceof ApiError && waiting.error.status !== 403) {
    return <p className="hint">The list of waiting machines cannot be read now; a code works all the same.</p>;
  }
  const pending = (waiting.data ?? []).filter((preview) => preview.state === "Pending");
  if (pending.length === 0) return null;
  return (
    <section className="waiting">
      <h3>Waiting for approval</h3>
      <ul>
        {pending.map((preview) => (
          <li key={preview.id}>
            <div>
              <strong>{inWords(preview)}</strong>
              <span className="waiting-more">
                {preview.serial !== "" && `S/N ${preview.serial}, `}
                {preview.source_ip}, since {localTime(preview.created_at * 1000, now)}
              </span>
              <code>{preview.fingerprint}</code>
            </div>
            {preview.last_polled_seconds > SILENT ? (
              <span className="none">stopped asking</span>
            ) : (
              <button
                type="button"
                className="button button-small"
                aria-label={`Review ${inWords(preview)}, ${preview.fingerprint}`}
                onClick={() => review(preview)}
              >
                Review
              </button>
            )}
          </li>
        ))}
      </ul>
    </section>
  );
}
