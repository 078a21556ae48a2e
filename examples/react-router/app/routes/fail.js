export function loader() {
  throw new Error("a secret of the database");
}
