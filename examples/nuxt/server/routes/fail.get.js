export default defineEventHandler(() => {
  throw new Error("a secret of the database");
});
