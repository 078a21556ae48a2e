import Link from "next/link";
import { Counter } from "./counter.js";

export default function Page() {
  return (
    <main>
      <h1>Next.js behind Postern</h1>
      <Counter />
      <Link href="/news/1">news</Link>
    </main>
  );
}
