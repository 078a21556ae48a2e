const mount = import.meta.env.BASE_URL.replace(/\/$/, "");

export const GET = ({ redirect }) => redirect(`${mount}/news/1`);
