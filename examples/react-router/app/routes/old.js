import { redirect } from "react-router";

export const loader = () => redirect("/news/1");
