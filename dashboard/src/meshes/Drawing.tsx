// The map of a mesh network as a picture. Everything in it is also in the tables beside it.
import { useMemo, useState } from "react";
import type { Graph } from "./graph";
import { frame, placed, spotWords, strokes, type Placed } from "./layout";

interface DrawingProps {
  /** What it shows, in words. */
  label: string;
  graph: Graph;
  /** The spot whose lines stand out. */
  chosen: string;
  /** Chooses a spot by its id; the chosen one again lets it go. */
  choose(id: string): void;
}

/** Lines that would be a plain surface if they were strong. */
const DENSE = 150;

/** The picture. What a mouse does here, the field above it does for everybody. */
export function Drawing({ label, graph, chosen, choose }: DrawingProps) {
  const places = useMemo(() => placed(graph), [graph]);
  const [pointed, setPointed] = useState("");
  const found = graph.spots.findIndex(({ id }) => id === (pointed === "" ? chosen : pointed));
  const look = found < 0 ? null : found;
  const paths = useMemo(() => strokes(graph, places, look), [graph, places, look]);
  const mood = look !== null ? " map-looking" : graph.lines.length > DENSE ? " map-dense" : "";
  return (
    <svg className={`mesh-map${mood}`} viewBox={frame(graph)} role="img" aria-label={label}>
      {paths.map(({ standing, width, near, d }) => (
        <path key={`${standing} ${width} ${near}`} className={`map-line map-${standing} map-width-${width}${near ? " map-near" : ""}`} d={d} />
      ))}
      {places.map((place, index) => (
        <SpotMark
          key={place.spot.id}
          place={place}
          looked={index === look}
          point={setPointed}
          choose={() => choose(place.spot.id === chosen ? "" : place.spot.id)}
        />
      ))}
    </svg>
  );
}

interface SpotMarkProps {
  place: Placed;
  looked: boolean;
  point(id: string): void;
  choose(): void;
}

function SpotMark({ place: { spot, x, y, r, label }, looked, point, choose }: SpotMarkProps) {
  const looks = [
    "map-spot",
    `map-${spot.kind}`,
    spot.online === 0 ? "map-offline" : "",
    spot.troubled > 0 ? "map-troubled" : "",
    looked ? "map-looked" : "",
  ];
  return (
    <g className={looks.filter(Boolean).join(" ")} onPointerEnter={() => point(spot.id)} onPointerLeave={() => point("")} onClick={choose}>
      <title>{spotWords(spot)}</title>
      {spot.kind === "relay" && <circle className="map-ring" cx={x} cy={y} r={r + 4} />}
      <circle className="map-dot" cx={x} cy={y} r={r} />
      <text
        x={label.x}
        y={label.y}
        textAnchor={label.anchor}
        dominantBaseline="central"
        {...(label.turn === 0 ? {} : { transform: `rotate(${label.turn} ${label.x} ${label.y})` })}
      >
        {label.text}
      </text>
    </g>
  );
}
