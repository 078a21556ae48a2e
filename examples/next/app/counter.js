"use client";
import { useEffect, useState } from "react";

export function Counter() {
  const [clicks, setClicks] = useState(0);
  const [state, setState] = useState("made on the server");
  useEffect(() => setState("alive in the browser"), []);
  return (
    <button type="button" onClick={() => setClicks(clicks + 1)}>
      {state}, {clicks} clicks
    </button>
  );
}
