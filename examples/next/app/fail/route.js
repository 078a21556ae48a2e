export function GET() {
  throw new Error("a secret of the database");
}

export const dynamic = "force-dynamic";
