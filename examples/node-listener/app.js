// The smallest application: a Node listener, as http.createServer takes it.
// Run it:  postern serve app.js --http :8080   and open http://localhost:8080/
export default (req, res) => {
  res.setHeader("Content-Type", "text/plain; charset=utf-8");
  res.end(`Hello ${req.socket.remoteAddress}, you asked for ${req.url}\n`);
};
