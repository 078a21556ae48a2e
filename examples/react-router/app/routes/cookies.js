export function loader({ request }) {
  const theme = /(?:^|; )theme=([^;]*)/.exec(request.headers.get("cookie") ?? "")?.[1];
  const headers = new Headers();
  headers.append("Set-Cookie", "seen=yes; Path=/; HttpOnly");
  headers.append("Set-Cookie", "last=news; Path=/");
  return Response.json({ theme }, { headers });
}
