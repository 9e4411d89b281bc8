// What a task said of its failure, line by line, as text.
import { oneLine } from "../../foreign";

/** Most characters of one of them: what the server keeps. */
const MOST = 2_048;

/** The list; nothing when there are none. */
export function Errors({ errors }: { errors: readonly string[] }) {
  if (errors.length === 0) return null;
  return (
    <ul className="log-errors">
      {errors.map((error, index) => (
        <li key={index}>
          <bdi>{oneLine(error, MOST)}</bdi>
        </li>
      ))}
    </ul>
  );
}
