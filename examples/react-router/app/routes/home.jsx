import { useEffect, useState } from "react";
import { Link } from "react-router";

export default function Home() {
  const [clicks, setClicks] = useState(0);
  const [state, setState] = useState("made on the server");
  useEffect(() => setState("alive in the browser"), []);
  return (
    <main>
      <h1>React Router behind Postern</h1>
      <button type="button" onClick={() => setClicks(clicks + 1)}>
        {state}, {clicks} clicks
      </button>
      <Link to="/news/1">news</Link>
    </main>
  );
}
