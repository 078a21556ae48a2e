// The smallest application, as a Node listener: for `postern serve`.
export default (_req, res) => {
  res.setHeader("Content-Type", "text/plain");
  res.end("hello world\n");
};
