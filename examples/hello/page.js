// What the request looks like to an application: HTTP on one side, what the web server vouches for on the other.
import { fastcgi } from "postern";

const escapeHtml = (text) => String(text).replace(/[&<>"]/g, (character) => `&#${character.charCodeAt(0)};`);

const rows = (pairs) =>
  pairs.map(([name, value]) => `<tr><th>${escapeHtml(name)}</th><td>${escapeHtml(value)}</td></tr>`).join("");

export function page(req) {
  const { params, role } = fastcgi(req);
  const vouched = Object.entries(params).filter(([name]) => !name.startsWith("HTTP_"));
  return `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Hello from Postern</title>
<style>
  body { font: 1rem/1.5 system-ui, sans-serif; color-scheme: light dark; max-width: 52rem; margin: 3rem auto; padding: 0 1rem; }
  h2 { font-size: 1.1rem; margin-top: 2rem; }
  table { border-collapse: collapse; table-layout: fixed; width: 100%; font-size: .85rem; }
  th, td { text-align: left; vertical-align: top; padding: .2rem .8rem .2rem 0; border-bottom: 1px solid #8884; overflow-wrap: anywhere; }
  th { font-weight: 500; width: 14rem; }
</style>
<h1>Hello from Postern</h1>
<p>This page came over FastCGI, from an Express application that knows nothing of it. It is
<time id="clock">waiting for the first event</time>, says <a href="clock">an event stream</a>.</p>
<h2>The request, as Express sees it</h2>
<table>${rows([
    ["method", req.method],
    ["originalUrl", req.originalUrl],
    ["baseUrl", req.baseUrl || "(root)"],
    ["ip", req.ip],
    ["protocol", req.protocol],
    ...Object.entries(req.headers),
  ])}</table>
<h2>What the web server vouches for (role ${role})</h2>
<table>${rows(vouched.map(([name, value]) => [name, value || "(empty)"]))}</table>
<script>
  new EventSource("clock").onmessage = ({ data }) => { document.getElementById("clock").textContent = data; };
</script>
</html>
`;
}
